//! `image_info` from a conductor, as JSON.
#![no_main]

use ferric_steps::deploy::image_info::ImageInfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Ok(value) = serde_json::from_slice(text) {
        for md5_enabled in [false, true] {
            if let Ok(info) = ImageInfo::parse(&value, md5_enabled) {
                assert!(!info.urls.is_empty());
            }
        }
    }
});
