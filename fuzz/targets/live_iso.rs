//! An ISO image from anybody: its embed area and kernel arguments, or an error.
#![no_main]

use std::io::Cursor;

use ferric_ignition::live_iso::LiveIso;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|image: &[u8]| {
    if let Ok(iso) = LiveIso::read(Cursor::new(image)) {
        let _ = iso.ignition();
        let _ = iso.kernel_arguments();
        let _ = iso.patches();
    }
});
