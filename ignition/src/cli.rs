//! One file per subcommand: its arguments, and what it does with the library.

pub(crate) mod config;
pub(crate) mod iso;
mod print;
pub(crate) mod pxe;
