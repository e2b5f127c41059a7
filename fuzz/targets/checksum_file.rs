//! A checksum file from anybody: the digest that is found is in it, for the algorithm that was asked for.
#![no_main]

use ferric_steps::image::Algorithm;
use ferric_steps::image::checksum::{self, FileName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (body, location) = input;
    let name = FileName::of(location);
    for algorithm in Algorithm::ALL.map(Some).into_iter().chain([None]) {
        if let Ok(digest) = checksum::find(body, &name, algorithm) {
            assert!(body.to_ascii_lowercase().contains(&digest.hex()));
            assert!(algorithm.is_none_or(|algorithm| algorithm == digest.algorithm));
        }
    }
});
