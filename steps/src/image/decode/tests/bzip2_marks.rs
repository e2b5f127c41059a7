//! bzip2 files in whose blocks something looks like a mark. A block may list more Huffman tables to be used than it
//! has symbols for; what is listed behind those has no meaning, and every short run of ones is a table's number.

use super::*;
use crate::image::bzip2_block::{BLOCK_MARK, END_MARK};

fn bits(bytes: &[u8]) -> Vec<bool> {
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
}

fn bytes(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|byte| (0..8).fold(0, |sum, bit| sum << 1 | u8::from(byte.get(bit) == Some(&true)))).collect()
}

fn number(bits: &[bool]) -> usize {
    bits.iter().fold(0, |number, bit| number << 1 | usize::from(*bit))
}

/// The first block of a file of one stream, with `wanted` among its tables to be used.
fn with_tables(file: &[u8], wanted: &[bool]) -> Vec<u8> {
    let mut file = bits(file);
    // Behind the header: mark, sum, a flag, a number of 24 bits; then which bytes are used, first by groups of 16.
    let groups = (4 + 6 + 4) * 8 + 1 + 24;
    let used = file[groups..groups + 16].iter().filter(|group| **group).count();
    let tables = groups + 16 + 16 * used;
    assert_eq!(number(&file[tables..tables + 3]), 6, "enough tables for every number to be valid");
    let count = number(&file[tables + 3..tables + 18]);
    let listed = &file[tables + 18..];
    let end = listed.iter().enumerate().filter(|(_, bit)| !**bit).nth(count - 1).unwrap().0 + 1;
    let mut wanted = wanted.to_vec();
    // A number ends with a zero.
    wanted.push(false);
    let more = wanted.iter().filter(|bit| !**bit).count();
    let at = tables + 18 + end;
    file.splice(at..at, wanted);
    for bit in 0..15 {
        file[tables + 3 + bit] = (count + more) >> (14 - bit) & 1 == 1;
    }
    // The end of the stream is padded anew: what was padding before is at most a few zero bits more.
    bytes(&file)
}

fn mark(mark: u64) -> Vec<bool> {
    bits(&mark.to_be_bytes()[2..])
}

#[test]
fn what_looks_like_a_mark_in_a_block_is_data() {
    let file = compress(Compression::Bzip2, &sample());
    let (block, end, zeroes) = (mark(BLOCK_MARK), mark(END_MARK), vec![false; 900]);
    for looks_like in
        [&[&block[..]][..], &[&block, &zeroes, &block, &block], &[&end], &[&end, &block], &[&end, &zeroes, &block]]
    {
        for shift in 0..8 {
            let wanted = [&zeroes[..shift], &looks_like.concat()].concat();
            let file = with_tables(&file, &wanted);
            assert!(decode(Compression::Bzip2, &file, 4096).unwrap() == sample(), "the file is right");
            for piece in [1 << 10, 64 << 10] {
                let decoded = decode_parallel(Compression::Bzip2, &file, piece).unwrap().unwrap();
                assert!(decoded == sample(), "shifted by {shift}, in pieces of {piece}");
            }
        }
    }
}

#[test]
fn a_block_that_looks_like_two_streams_is_refused_at_worst() {
    let file = compress(Compression::Bzip2, &sample());
    let between = [mark(END_MARK), vec![false; 32], bits(b"BZh9"), mark(BLOCK_MARK)].concat();
    let refused = (0..8).filter(|shift| {
        let file = with_tables(&file, &[&vec![false; *shift], &between[..]].concat());
        match decode_parallel(Compression::Bzip2, &file, 4096).unwrap() {
            Ok(decoded) => assert!(decoded == sample()),
            Err(_) => return true,
        }
        false
    });
    assert_eq!(refused.count(), 1);
}

#[test]
fn every_change_to_a_file_has_the_outcome_that_it_has_on_one_thread() {
    // Three blocks that compress well, an empty stream, padding, and one block.
    let three = compress(Compression::Bzip2, &b"one of many ".repeat(20_000));
    let (none, one) = (compress(Compression::Bzip2, b""), compress(Compression::Bzip2, b"ferric"));
    let file = [&three[..], &none, &[0; 3], &one].concat();
    let same = |file: &[u8], what: &str| {
        let (here, beside) = (decode(Compression::Bzip2, file, 4096), decode_parallel(Compression::Bzip2, file, 4096));
        match (here, beside.unwrap()) {
            (Ok(here), Ok(beside)) => assert!(here == beside, "{what}"),
            (here, beside) => assert_eq!(here.is_ok(), beside.is_ok(), "{what}"),
        }
    };
    same(&file, "nothing changed");
    for at in 10..file.len() {
        same(&file[..at], &format!("cut at {at}"));
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        same(&flipped, &format!("a bit flipped at {at}"));
    }
}
