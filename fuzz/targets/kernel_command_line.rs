//! `/proc/cmdline` and a configuration file: options or an error.
#![no_main]

use ferric_agent::config::{ini, kernel};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    kernel::parse(text);
    let _ = ini::parse(text);
});
