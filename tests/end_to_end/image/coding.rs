//! Images that a server sends with a `Content-Encoding`: the file is what was coded, and its digest that of the file.

use std::io::Write;

use ferric_steps::image::{Algorithm, Digest, ImageError, Verify};
use ferric_tests::fault_server::{Behaviour, Fault, FaultServer, Ranges};
use ferric_tests::image::{Packing, State, bootable, state, used_disk};

use super::faults::{IMAGE_BYTES, request, write};

/// What stands in the header, and the coded bytes.
fn coded(coding: &str, file: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    match coding {
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(file).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => Packing::Zstd.pack(file).unwrap(),
        _ => Packing::Gzip.pack(file).unwrap(),
    }
}

fn with(coding: &str) -> Behaviour {
    Behaviour { coding: Some(coding.into()), ..Behaviour::default() }
}

#[test]
fn a_coded_file_is_decoded_and_goes_on_where_it_stopped() {
    let image = bootable(IMAGE_BYTES);
    for packing in [Packing::Raw, Packing::Gzip, Packing::ZstdFrames, Packing::Qcow2, Packing::PackedQcow2] {
        let file = packing.pack(&image).unwrap();
        for (coding, ranges, length) in [
            ("gzip", Ranges::Served, true),
            ("x-gzip", Ranges::Served, false),
            ("gzip", Ranges::Ignored, true),
            ("gzip", Ranges::Refused(416), true),
            ("deflate", Ranges::Served, true),
            ("zstd", Ranges::Served, true),
            ("aws-chunked,gzip", Ranges::Served, true),
        ] {
            let what = format!("{packing:?} {coding} {ranges:?} length {length}");
            let body = coded(coding, &file);
            let cut = body.len() / 2;
            let behaviour = Behaviour { ranges, length, ..with(coding) };
            let server = FaultServer::start(body.clone(), behaviour, vec![Fault::Drop(cut)]).unwrap();
            let disk = used_disk(IMAGE_BYTES as u64).unwrap();
            let summary = write(request(&disk, &[server.url("/image")], &file)).unwrap();
            assert_eq!(state(&disk, &image).unwrap(), State::Written, "{what}");
            assert_eq!((summary.resumes, summary.served_bytes), (1, body.len() as u64), "{what}");
            let note = format!("Content-Encoding {coding}").replace("x-", "").replace("aws-chunked,", "");
            assert!(summary.notes.iter().any(|text| text.contains(&note)), "{what}: {:?}", summary.notes);
            // In the coded bytes no table can be found by its place in the file.
            let asked: Vec<_> = server.journal().into_iter().map(|request| request.range).collect();
            let plain = (ranges == Ranges::Refused(416)).then_some(None);
            let expected: Vec<_> = [None, Some(format!("bytes={cut}-"))].into_iter().chain(plain).collect();
            assert_eq!(asked, expected, "{what}");
        }
    }
}

#[test]
fn a_coded_file_that_is_damaged_or_cut_short_leaves_nothing_to_boot() {
    let image = bootable(IMAGE_BYTES);
    for coding in ["gzip", "deflate"] {
        let body = coded(coding, &image);
        for length in [true, false] {
            for fault in [Fault::Flip(body.len() / 2), Fault::Shorter(1), Fault::Shorter(body.len() / 2)] {
                let what = format!("{coding} length {length} {fault:?}");
                let behaviour = || Behaviour { length, ..with(coding) };
                let bad = FaultServer::always(body.clone(), behaviour(), fault).unwrap();
                let disk = used_disk(IMAGE_BYTES as u64).unwrap();
                // What has a checksum of its own is found out also where no digest was given.
                for verify in [request(&disk, &[], &image).verify, Verify::Unchecked] {
                    let damaged = request(&disk, &[bad.url("/image")], &image);
                    let error = write(ferric_steps::image::WriteRequest { verify, ..damaged }).unwrap_err();
                    assert!(matches!(error, ImageError::Damaged(_)), "{what}: {error:?}");
                    assert!(error.chain().contains(&format!("Content-Encoding {coding}")), "{what}: {error}");
                    assert_eq!(state(&disk, &image).unwrap(), State::Wiped, "{what}");
                }
                let good = FaultServer::start(body.clone(), behaviour(), Vec::new()).unwrap();
                write(request(&disk, &[bad.url("/a"), good.url("/b")], &image)).unwrap();
                assert_eq!(state(&disk, &image).unwrap(), State::Written, "{what}");
            }
        }
    }
}

#[test]
fn coded_and_uncoded_bytes_are_not_joined() {
    let image = bootable(IMAGE_BYTES);
    let body = coded("gzip", &image);
    // It breaks off, and then is not there any more.
    let faults = vec![Fault::Drop(body.len() / 2), Fault::Drop(0), Fault::Drop(0)];
    let first = FaultServer::start(body, with("gzip"), faults).unwrap();
    let second = FaultServer::start(image.clone(), Behaviour::default(), Vec::new()).unwrap();
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let summary = write(request(&disk, &[first.url("/a"), second.url("/b")], &image)).unwrap();
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
    let changed = "its Content-Encoding was gzip and is identity";
    assert!(summary.notes.iter().any(|note| note.contains(changed)), "{:?}", summary.notes);
    assert_eq!(summary.source, second.url("/b"));
}

#[test]
fn a_coded_file_ends_at_the_end_of_the_disk() {
    let bomb = vec![0; 64 << 20];
    let body = coded("gzip", &bomb);
    assert!(body.len() < 1 << 20);
    let server = FaultServer::start(body, with("gzip"), Vec::new()).unwrap();
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let error = write(request(&disk, &[server.url("/image")], &bomb)).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { .. }), "{error:?}");
    assert_eq!(state(&disk, &bomb).unwrap(), State::Wiped);
}

#[test]
fn codings_that_nobody_knows_here_are_refused() {
    let image = bootable(IMAGE_BYTES);
    for coding in ["br", "compress", "gzip, gzip", "aws-chunked, br"] {
        let server = FaultServer::start(image.clone(), with(coding), Vec::new()).unwrap();
        let disk = used_disk(IMAGE_BYTES as u64).unwrap();
        let error = write(request(&disk, &[server.url("/image")], &image)).unwrap_err();
        assert!(matches!(error, ImageError::DownloadFatal(_)), "{coding}: {error:?}");
        assert!(error.chain().contains(&format!("Content-Encoding {coding}, which cannot be decoded")), "{error}");
        assert_eq!(state(&disk, &image).unwrap(), State::Untouched, "{coding}");
    }
}

#[test]
fn words_that_are_no_coding_are_passed_over() {
    let image = bootable(IMAGE_BYTES);
    for packing in [Packing::Raw, Packing::Qcow2, Packing::Gzip] {
        let file = packing.pack(&image).unwrap();
        for word in ["aws-chunked", "none", "binary", "utf-8", "identity", "UTF-8", "aws-chunked,"] {
            let server = FaultServer::start(file.clone(), with(word), vec![Fault::Drop(file.len() / 2)]).unwrap();
            let disk = used_disk(IMAGE_BYTES as u64).unwrap();
            for verify in [request(&disk, &[], &file).verify, Verify::Unchecked] {
                let asked = request(&disk, &[server.url("/image")], &file);
                write(ferric_steps::image::WriteRequest { verify, ..asked }).unwrap();
                assert_eq!(state(&disk, &image).unwrap(), State::Written, "{packing:?} {word}");
            }
        }
    }
}

#[test]
fn the_digest_may_be_that_of_what_was_sent_or_of_what_was_coded_or_of_what_never_was() {
    let image = bootable(IMAGE_BYTES);
    let packed = Packing::Gzip.pack(&image).unwrap();
    // (what is sent, under which name of a coding, and whose digest is given)
    for (sent, coding, promised) in [
        (&packed, "gzip", &packed),
        (&packed, "gzip", &image),
        (&image, "gzip", &image),
        (&image, "zstd", &image),
        (&packed, "zstd", &packed),
    ] {
        let server = FaultServer::start(sent.clone(), with(coding), vec![Fault::Drop(sent.len() / 2)]).unwrap();
        let disk = used_disk(IMAGE_BYTES as u64).unwrap();
        let summary = write(request(&disk, &[server.url("/image")], promised)).unwrap();
        assert_eq!(state(&disk, &image).unwrap(), State::Written, "{coding}");
        assert_eq!(summary.digest, Some(Digest::of(Algorithm::Sha256, promised)), "{coding}");
    }
    let server = FaultServer::start(packed, with("gzip"), Vec::new()).unwrap();
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let error = write(request(&disk, &[server.url("/image")], b"something else")).unwrap_err();
    assert!(matches!(error, ImageError::Checksum { .. }), "{error:?}");
    assert!(error.chain().contains("Content-Encoding gzip"), "a mismatch that may come from a coding says so: {error}");
    assert_eq!(state(&disk, &image).unwrap(), State::Wiped);
}
