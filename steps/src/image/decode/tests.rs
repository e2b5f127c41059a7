//! Files of every compression, whole and damaged, on one thread and on several.

mod bzip2_marks;

use std::io::Write;

use super::whole::{decode, decode_parallel};
use super::*;

fn sample() -> Vec<u8> {
    let noise = (0..300_000_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    noise.chain(std::iter::repeat_n(0, 200_000)).chain((0..100_000_u32).map(|i| (i / 100) as u8)).collect()
}

fn compress(compression: Compression, data: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(data, 1).unwrap(),
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// zstd in frames, xz in blocks and bzip2 in streams, as parallel compressors make them; and bzip2 as all make it.
fn divided() -> [(Compression, Vec<u8>); 5] {
    let sample = sample();
    let frame = |part: &[u8]| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap()
    };
    let frames = sample.chunks(50_000).flat_map(frame).collect();
    let mut blocks = liblzma::stream::MtStreamBuilder::new();
    let encoder = blocks.threads(2).block_size(100_000).preset(0).check(liblzma::stream::Check::Crc64).encoder();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), encoder.unwrap());
    encoder.write_all(&sample).unwrap();
    let blocks = encoder.finish().unwrap();
    let twice = [&blocks[..], &[0; 4], &blocks[..]].concat();
    let one_stream = compress(Compression::Bzip2, &sample);
    let streams = sample.chunks(70_000).flat_map(|part| compress(Compression::Bzip2, part)).collect();
    [
        (Compression::Zstd, frames),
        (Compression::Xz, blocks),
        (Compression::Xz, twice),
        (Compression::Bzip2, one_stream),
        (Compression::Bzip2, streams),
    ]
}

#[test]
fn parts_are_decoded_in_parallel_and_come_in_order() {
    for (compression, file) in divided() {
        for piece in [999, 64 << 10] {
            let decoded = decode_parallel(compression, &file, piece).unwrap().unwrap();
            assert!(decoded == decode(compression, &file, piece).unwrap(), "{compression:?} by {piece}");
            assert!(decoded.starts_with(&sample()));
        }
    }
    let one_block = compress(Compression::Xz, &sample());
    assert!(decode_parallel(Compression::Xz, &one_block, 4096).is_none(), "the end of its block is not known");
}

#[test]
fn damage_to_a_divided_file_is_an_error() {
    for (compression, file) in divided() {
        for cut in [file.len() - 1, file.len() / 2, 30] {
            assert!(decode_parallel(compression, &file[..cut], 4096).unwrap().is_err(), "{compression:?} at {cut}");
        }
        for at in [file.len() / 3, file.len() / 2, file.len() - 20] {
            let mut damaged = file.clone();
            damaged[at] ^= 0x40;
            let outcome = decode_parallel(compression, &damaged, 4096).unwrap();
            assert!(outcome.is_err(), "{compression:?} at {at}");
        }
    }
}

const ALL: [Compression; 5] =
    [Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2, Compression::Deflate];

#[test]
fn every_compression_comes_back_in_pieces_of_any_size() {
    for compression in ALL {
        let file = compress(compression, &sample());
        // Only files say what they are.
        assert_eq!(Compression::detect(&file), Some(compression).filter(|c| *c != Compression::Deflate));
        for piece in [7, 4096, file.len()] {
            assert!(decode(compression, &file, piece).unwrap() == sample(), "{compression:?} by {piece}");
        }
    }
}

#[test]
fn deflated_data_need_no_frame() {
    // Level 0 begins with a zero.
    for level in [0, 6] {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(&sample()).unwrap();
        let bare = encoder.finish().unwrap();
        for piece in [1, 4096] {
            assert!(decode(Compression::Deflate, &bare, piece).unwrap() == sample(), "level {level} by {piece}");
        }
        assert!(decode(Compression::Deflate, &bare[..bare.len() - 1], 4096).is_err());
    }
    assert!(decode(Compression::Deflate, &[], 1).is_err());
}

#[test]
fn members_follow_each_other_with_padding() {
    for compression in ALL {
        let mut file = compress(compression, b"first ");
        file.extend([0; 8]);
        file.extend(compress(compression, b"second"));
        file.extend([0; 4]);
        assert_eq!(decode(compression, &file, 5).unwrap(), b"first second", "{compression:?}");
    }
}

#[test]
fn a_cut_or_damaged_file_is_an_error() {
    for compression in ALL {
        let file = compress(compression, &sample());
        for cut in [file.len() - 1, file.len() / 2, 20] {
            assert!(decode(compression, &file[..cut], 4096).is_err(), "{compression:?} cut at {cut}");
        }
        let mut garbage = file.clone();
        garbage.extend(b"garbage behind the end");
        assert!(decode(compression, &garbage, 4096).is_err(), "{compression:?} with garbage");
    }
}
