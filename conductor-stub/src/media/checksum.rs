//! What a file must be: a digest, as people write it down.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest, Sha256, Sha512};

const BUFFER_BYTES: usize = 1 << 20;

/// A digest that proves something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-512.
    Sha512([u8; 64]),
}

/// Why a text is no such digest.
#[derive(Debug, Clone, thiserror::Error)]
#[error("checksum {0:?}: must be a SHA-256 or SHA-512 digest, `sha256:` and hexadecimal digits or the digits alone")]
pub struct ChecksumError(String);

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let refused = || ChecksumError(text.to_owned());
        let (name, digits) = text.trim().split_once(':').unwrap_or(("", text.trim()));
        let mut sha512 = [0; 64];
        let mut sha256 = [0; 32];
        match (name.to_ascii_lowercase().as_str(), digits.len()) {
            ("" | "sha256", 64) => hex::decode_to_slice(digits, &mut sha256).map(|()| Self::Sha256(sha256)),
            ("" | "sha512", 128) => hex::decode_to_slice(digits, &mut sha512).map(|()| Self::Sha512(sha512)),
            _ => return Err(refused()),
        }
        .map_err(|_| refused())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256:{}", hex::encode(digest)),
            Self::Sha512(digest) => write!(f, "sha512:{}", hex::encode(digest)),
        }
    }
}

impl Checksum {
    /// The digest of a file of this name in a list as `sha256sum` writes it, with or without `--tag`; in a document that is a
    /// digest and nothing else, that.
    pub fn listed(document: &str, name: &str) -> Option<Self> {
        if let Ok(alone) = document.trim().parse() {
            return Some(alone);
        }
        document.lines().find_map(|line| {
            let plain = || {
                let (digest, file) = line.split_once(char::is_whitespace)?;
                let file = file.trim_start().trim_start_matches('*');
                Some((digest, file))
            };
            let tagged = || {
                let (file, digest) = line.split_once('(')?.1.rsplit_once(") = ")?;
                Some((digest, file))
            };
            let (digest, file) = tagged().or_else(plain)?;
            let file = file.trim().rsplit('/').next()?;
            if file == name { digest.parse().ok() } else { None }
        })
    }
}

/// Digests of what goes by.
#[derive(Debug, Clone, Default)]
pub struct Digests {
    sha256: Sha256,
    sha512: Option<Sha512>,
}

impl Digests {
    /// Those that are always known, and the one that is wanted.
    pub fn for_checksum(wanted: Option<&Checksum>) -> Self {
        let is_sha512 = matches!(wanted, Some(Checksum::Sha512(_)));
        Self { sha256: Sha256::new(), sha512: is_sha512.then(Sha512::new) }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// All that is left of a source; how many bytes that was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&mut self, source: &mut impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut all = 0;
        loop {
            match source.read(&mut buffer)? {
                0 => return Ok(all),
                bytes => {
                    self.update(&buffer[..bytes]);
                    all += bytes as u64;
                }
            }
        }
    }

    /// The digest of the same kind as `wanted`, of all bytes so far.
    pub fn like(&self, wanted: &Checksum) -> Checksum {
        match (wanted, &self.sha512) {
            (Checksum::Sha512(_), Some(sha512)) => Checksum::Sha512(sha512.clone().finalize().into()),
            _ => Checksum::Sha256(self.sha256()),
        }
    }

    /// The SHA-256 digest of all bytes so far.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_they_are_written_down() {
        let digest = "ab".repeat(32);
        let checksum = Checksum::Sha256([0xab; 32]);
        for text in [digest.clone(), format!("sha256:{digest}"), format!("SHA256:{}\n", digest.to_uppercase())] {
            assert_eq!(text.parse::<Checksum>().unwrap(), checksum, "{text}");
        }
        assert!(matches!("cd".repeat(64).parse(), Ok(Checksum::Sha512(_))));
        for text in
            ["", "md5:d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e", "sha256:xyz", "sha512:ab"]
        {
            assert!(text.parse::<Checksum>().is_err(), "{text}");
        }
        let other = "cd".repeat(32);
        for list in [
            digest.clone(),
            format!("{other}  other.iso\n{digest}  live.iso\n"),
            format!("{other} *other.iso\n{digest} *./live.iso\n"),
            format!("SHA256 (other.iso) = {other}\nSHA256 (live.iso) = {digest}\n"),
        ] {
            assert_eq!(Checksum::listed(&list, "live.iso"), Some(checksum.clone()), "{list}");
        }
        assert_eq!(Checksum::listed(&format!("{other}  other.iso\n{other}  x\n"), "live.iso"), None);
    }
}
