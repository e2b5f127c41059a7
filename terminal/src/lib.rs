//! What people see on a terminal while they wait: lines that change, and are never wider than the terminal.
//!
//! - [`work`]: how far something is, in the words that a width has room for; [`pace`]: how fast it goes
//! - [`lines`]: the lines on standard error

pub mod lines;
pub mod pace;
pub mod work;

pub use lines::{Entry, Lines};
pub use pace::Pace;
pub use work::Work;
