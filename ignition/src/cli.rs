//! One file per subcommand: its arguments, and what it does with the library.

pub(crate) mod config;
mod customize;
mod input;
pub(crate) mod iso;
mod output;
mod print;
pub(crate) mod pxe;
