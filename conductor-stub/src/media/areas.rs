//! Places in the configuration of a boot loader where the kernel arguments of one machine are laid over: the end of a line,
//! then a comment that fills the place up. A file with such places boots as it is, too.
//!
//! ```text
//! linux /vmlinuz quiet <----------- place: arguments, tail, line end, # … # ----------->
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use ferric_ignition::kernel_arguments::{self, KernelArgument};
use ferric_ignition::patch::Patch;
use regex::bytes::Regex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the kernel takes on x86, and GRUB and ISOLINUX pass on.
const PLACE_BYTES: usize = 2048;
const WINDOW_BYTES: usize = 8 << 20;
const FILL: u8 = b'#';

/// One place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    offset: u64,
    length: usize,
    /// What stands behind the arguments, such as `--- quiet`.
    tail: String,
}

/// What cannot be.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// They do not fit.
    #[error("the kernel arguments are too long: {needed} bytes, the boot loader has room for {available}")]
    TooLong {
        /// Bytes with the line end.
        needed: usize,
        /// Bytes of the place.
        available: usize,
    },
    /// A place is in pieces.
    #[error("a place for kernel arguments is in pieces, or lost: {found} of {written} were found")]
    Lost {
        /// Places that are whole.
        found: usize,
        /// Places that were left.
        written: usize,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Leaves places in texts, and finds them in what was made of those.
#[derive(Debug)]
pub struct Places {
    mark: Uuid,
    tails: Vec<String>,
}

impl Default for Places {
    fn default() -> Self {
        Self { mark: Uuid::new_v4(), tails: Vec::new() }
    }
}

impl Places {
    /// The text of another place; `tail` stands behind the arguments. It begins in a line and ends at the end of one.
    pub fn leave(&mut self, tail: &str) -> String {
        let text = self.text(self.tails.len(), tail);
        self.tails.push(tail.to_owned());
        text
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.tails.len()
    }

    fn text(&self, number: usize, tail: &str) -> String {
        let mut text = format!("{tail}\n#{}-{number:04}-", self.mark);
        text.extend(std::iter::repeat_n(char::from(FILL), PLACE_BYTES.saturating_sub(text.len())));
        text
    }

    /// Where they are in a file.
    ///
    /// # Errors
    /// When one of them is not, as a whole.
    pub fn find(&self, path: &Path) -> Result<Vec<Place>, PlaceError> {
        let mut file = File::open(path)?;
        let pattern = Regex::new(&format!("#{}-([0-9]{{4}})-", self.mark)).map_err(io::Error::other)?;
        let overlap = self.mark.to_string().len() + 7;
        let (mut window, mut start, mut places) = (Vec::new(), 0_u64, Vec::new());
        loop {
            let before = window.len();
            file.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut window)?;
            if window.len() == before {
                break;
            }
            for found in pattern.captures_iter(&window) {
                let (Some(whole), Some(number)) = (found.get(0), found.get(1)) else { continue };
                let number: usize = String::from_utf8_lossy(number.as_bytes()).parse().map_err(io::Error::other)?;
                let Some(tail) = self.tails.get(number) else { continue };
                let Some(offset) = (start + whole.start() as u64).checked_sub(tail.len() as u64 + 1) else { continue };
                let text = self.text(number, tail).into_bytes();
                let mut there = vec![0; text.len()];
                let place = Place { offset, length: text.len(), tail: tail.clone() };
                if file.read_exact_at(&mut there, offset).is_ok() && there == text && !places.contains(&place) {
                    places.push(place);
                }
            }
            let kept = window.len().min(overlap);
            start += (window.len() - kept) as u64;
            window.drain(..window.len() - kept);
        }
        match places.len() >= self.tails.len() {
            true => Ok(places),
            false => Err(PlaceError::Lost { found: places.len(), written: self.tails.len() }),
        }
    }
}

/// What stands in the places for a machine with these arguments.
///
/// # Errors
/// [`PlaceError::TooLong`].
pub fn patches(places: &[Place], arguments: &[KernelArgument]) -> Result<Vec<Patch>, PlaceError> {
    let line = kernel_arguments::join(arguments);
    let patch = |place: &Place| {
        let mut bytes = match place.tail.as_str() {
            "" => format!("{line}\n"),
            tail => format!("{line} {tail}\n"),
        }
        .into_bytes();
        if bytes.len() > place.length {
            return Err(PlaceError::TooLong { needed: bytes.len(), available: place.length });
        }
        bytes.resize(place.length, FILL);
        Ok(Patch { offset: place.offset, bytes })
    };
    places.iter().map(patch).collect()
}

#[cfg(test)]
mod tests {
    use ferric_ignition::patch;

    use super::*;

    #[test]
    fn places_are_found_and_hold_the_arguments() {
        let mut places = Places::default();
        let text =
            format!("linux /a quiet {}\ninitrd /b\nlinux /c {}\nboot\n", places.leave(""), places.leave("--- quiet"));
        let file = tempfile::NamedTempFile::new().unwrap();
        // The second one lies across the end of a window.
        let before = vec![b'x'; WINDOW_BYTES - text.len() + 30];
        std::fs::write(file.path(), [&before[..], text.as_bytes()].concat()).unwrap();
        let found = places.find(file.path()).unwrap();
        assert_eq!(found.len(), 2);
        let arguments = ["a=1", "b"].map(|word| word.parse().unwrap());
        let mut changed = Vec::new();
        patch::copy(&mut File::open(file.path()).unwrap(), &mut changed, &patches(&found, &arguments).unwrap())
            .unwrap();
        let lines: Vec<&str> = std::str::from_utf8(&changed[before.len()..])
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert_eq!(lines, ["linux /a quiet a=1 b", "initrd /b", "linux /c a=1 b --- quiet", "boot"]);
        assert_eq!(changed.len(), before.len() + text.len());
        let long = vec!["x".repeat(500).parse::<KernelArgument>().unwrap(); 5];
        assert!(matches!(patches(&found, &long), Err(PlaceError::TooLong { .. })));
    }

    #[test]
    fn what_was_torn_apart_is_noticed() {
        let mut places = Places::default();
        let mut text = places.leave("").into_bytes();
        text.insert(1000, b'!');
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        assert!(matches!(places.find(file.path()), Err(PlaceError::Lost { found: 0, written: 1 })));
    }
}
