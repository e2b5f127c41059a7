//! A block of bzip2 from anybody, behind its mark: what our decoder makes of it is what the library makes of it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| ferric_steps::image::compare_bzip2_block(block));
