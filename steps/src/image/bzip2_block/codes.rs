//! The Huffman codes of a bzip2 block.

/// Bits that one look into a table of codes covers; longer codes are rare.
const LOOK: u32 = 10;
/// The longest code.
pub(super) const MAX_CODE: u32 = 20;

/// Bits from the highest of each byte on.
pub(super) struct Bits<'a> {
    pub(super) bytes: &'a [u8],
    /// The next one.
    pub(super) at: usize,
}

impl Bits<'_> {
    /// The next 57 bits at least, from the highest on; zeroes behind the end.
    pub(super) fn window(&self) -> u64 {
        let byte = self.at / 8;
        let window = match self.bytes.get(byte..byte + 8).and_then(|w| w.first_chunk()) {
            Some(window) => u64::from_be_bytes(*window),
            None => {
                let mut window = [0; 8];
                let rest = self.bytes.get(byte..).unwrap_or_default();
                window[..rest.len()].copy_from_slice(rest);
                u64::from_be_bytes(window)
            }
        };
        window << (self.at % 8)
    }

    pub(super) fn take(&mut self, count: u32) -> u64 {
        let number = self.window() >> (64 - count);
        self.at += count as usize;
        number
    }
}

/// A Huffman code.
pub(super) struct Codes {
    /// Symbol and length by the next bits; 0 where the code is longer.
    short: [u16; 1 << LOOK],
    /// For each length the first code that is longer, at the top of 20 bits, and what leads from a code to its symbol.
    limits: [(u32, i32); MAX_CODE as usize + 1],
    symbols: [u16; 258],
}

impl Codes {
    /// The code whose symbols have these lengths.
    pub(super) fn new(lengths: &[u8]) -> Option<Self> {
        let mut codes = Self { short: [0; 1 << LOOK], limits: [(0, 0); MAX_CODE as usize + 1], symbols: [0; 258] };
        let (mut code, mut index) = (0_u32, 0);
        for length in 1..=MAX_CODE {
            let offset = index as i32 - code as i32;
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, l)| u32::from(**l) == length) {
                codes.symbols[index] = symbol as u16;
                if length <= LOOK {
                    let from = (code << (LOOK - length)) as usize;
                    codes
                        .short
                        .get_mut(from..from + (1 << (LOOK - length)))?
                        .fill((symbol as u16) << 5 | length as u16);
                }
                index += 1;
                code += 1;
            }
            if code > 1 << length {
                return None;
            }
            codes.limits[length as usize] = (code << (MAX_CODE - length), offset);
            code <<= 1;
        }
        Some(codes)
    }

    /// The symbol whose code is at the top of `window`, and the length of the code.
    #[inline]
    pub(super) fn symbol(&self, window: u64) -> Option<(usize, u32)> {
        match self.short[(window >> (64 - LOOK)) as usize] {
            0 => self.long((window >> (64 - MAX_CODE)) as u32),
            short => Some((usize::from(short >> 5), u32::from(short & 31))),
        }
    }

    fn long(&self, bits: u32) -> Option<(usize, u32)> {
        let length = (LOOK + 1..=MAX_CODE).find(|length| bits < self.limits[*length as usize].0)?;
        let index = (bits >> (MAX_CODE - length)) as i32 + self.limits[length as usize].1;
        Some((usize::from(*self.symbols.get(index as usize)?), length))
    }
}
