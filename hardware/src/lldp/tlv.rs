//! What a frame says: type, length, value, one after the other.

use serde::{Deserialize, Serialize};

const END: u8 = 0;

/// One piece of information: its type, and its value in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tlv(pub u8, pub String);

/// Splits the body of a frame: 7 bits of type, 9 bits of length, value. It ends with its End TLV; what follows fills the
/// frame to the length that Ethernet wants. A last value may be cut short.
pub fn parse(mut body: &[u8]) -> Vec<Tlv> {
    let mut tlvs = Vec::new();
    while let [high, low, rest @ ..] = body {
        let (kind, length) = (high >> 1, usize::from(high & 1) << 8 | usize::from(*low));
        let value = &rest[..length.min(rest.len())];
        tlvs.push(Tlv(kind, value.iter().map(|byte| format!("{byte:02x}")).collect()));
        if kind == END {
            break;
        }
        body = &rest[value.len()..];
    }
    tlvs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlvs(expected: &[(u8, &str)]) -> Vec<Tlv> {
        expected.iter().map(|(kind, value)| Tlv(*kind, (*value).to_string())).collect()
    }

    #[test]
    fn a_frame_is_split_into_its_parts() {
        let frame = [2, 7, 4, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0xfe, 4, 0, 0x80, 0xc2, 3, 0, 0];
        assert_eq!(parse(&frame), tlvs(&[(1, "04aabbccddeeff"), (127, "0080c203"), (0, "")]));
        // Cut short: what is there is kept, a byte alone is nothing.
        assert_eq!(parse(&[2, 7, 4, 0xaa]), tlvs(&[(1, "04aa")]));
        assert_eq!(parse(&[2, 1, 4, 9]), tlvs(&[(1, "04")]));
        assert!(parse(&[]).is_empty());
    }

    #[test]
    fn what_fills_a_frame_up_is_no_part_of_it() {
        let mut frame = vec![6, 2, 0, 120, 0, 0];
        frame.resize(46, 0);
        assert_eq!(parse(&frame), tlvs(&[(3, "0078"), (0, "")]));
        frame[6..].fill(0xa5);
        assert_eq!(parse(&frame), tlvs(&[(3, "0078"), (0, "")]));
    }

    #[test]
    fn lengths_have_nine_bits() {
        let mut frame = vec![9, 0];
        frame.resize(2 + 256, 7);
        frame.extend([0, 0]);
        let parsed = parse(&frame);
        assert_eq!((parsed[0].0, parsed[0].1.len(), parsed.len()), (4, 512, 2));
    }
}
