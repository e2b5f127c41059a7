//! Compressed files from anybody: what several threads make of them is what one thread does, and our decoder of bzip2
//! blocks takes nothing that the library refuses.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| ferric_steps::image::compare_decoders(file));
