//! One file per subcommand.

pub mod bmc;
pub mod demo;
pub mod serve;
