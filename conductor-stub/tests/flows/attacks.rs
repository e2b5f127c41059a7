//! Attacks on the conductor over real HTTP: each worked once.

mod access;
mod browsers;
mod files;
mod limits;
mod secrets;
mod text;
mod tls;
