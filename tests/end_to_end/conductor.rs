//! Our conductor as a program: what it does from start to end, and what it leaves.

mod demo;
