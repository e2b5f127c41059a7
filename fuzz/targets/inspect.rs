//! The first bytes of anything: one verdict, and a permitted format is never one that was refused.
#![no_main]

use ferric_steps::image::FormatChoice;
use ferric_steps::image::inspect::{Expected, ImageFormat, check, detect, judge};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|head: &[u8]| {
    for choice in [FormatChoice::Auto, FormatChoice::Raw, FormatChoice::Qcow2] {
        if let Ok(format) = judge(&Expected { choice, ..Expected::default() }, head)
            && choice != FormatChoice::Raw
        {
            assert!(matches!(format, ImageFormat::Raw | ImageFormat::Gpt | ImageFormat::Qcow2));
            assert_eq!(detect(head), Ok(format));
            assert_eq!(check(format, head), Ok(()));
        }
    }
});
