//! Checksums: their names, how they are written, and how they are computed while bytes pass.

mod hasher;

use std::fmt;
use std::str::FromStr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

pub(crate) use self::hasher::Hasher;
use super::Chunk;

/// A checksum algorithm that an image may be verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// MD5; only where the operator permits it.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA3-224.
    Sha3_224,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 10] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// The name as in `os_hash_algo`: `sha256`, `sha3_512`. Spelt out: with strum it would hang on how that
    /// splits `Sha3_224`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sha3_224 => "sha3_224",
            Self::Sha3_256 => "sha3_256",
            Self::Sha3_384 => "sha3_384",
            Self::Sha3_512 => "sha3_512",
        }
    }

    /// The algorithm of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    /// Length of a digest in bytes.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha3_224 => 28,
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }
}

/// A digest and its algorithm; written `sha256:0123…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// How it was computed.
    pub algorithm: Algorithm,
    /// Its bytes.
    pub value: Vec<u8>,
}

impl Digest {
    /// A digest from hexadecimal digits of either case.
    ///
    /// # Errors
    /// A sentence for the operator when they are not digits or not as many as the algorithm has.
    pub fn from_hex(algorithm: Algorithm, digits: &str) -> Result<Self, String> {
        let value = hex::decode(digits.trim()).map_err(|e| format!("{digits:?} is not a hexadecimal digest: {e}"))?;
        if value.len() != algorithm.digest_bytes() {
            let (have, want) = (value.len() * 2, algorithm.digest_bytes() * 2);
            return Err(format!("a {} digest has {want} hexadecimal digits, {digits:?} has {have}", algorithm.name()));
        }
        Ok(Self { algorithm, value })
    }

    /// The digest of `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        Self { algorithm, value: hasher.finish() }
    }

    /// The digits alone, in lower case.
    pub fn hex(&self) -> String {
        hex::encode(&self.value)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl FromStr for Digest {
    type Err = String;

    /// `ALGORITHM:HEX`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, digits) = text.split_once(':').ok_or_else(|| format!("{text:?} is not ALGORITHM:HEX"))?;
        let algorithm =
            Algorithm::from_name(&name.to_ascii_lowercase()).ok_or_else(|| format!("unknown algorithm {name:?}"))?;
        Self::from_hex(algorithm, digits)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A digest being computed on its own thread.
#[derive(Debug)]
pub(crate) struct Hashing(JoinHandle<(Digest, Duration)>);

impl Hashing {
    /// Starts the thread. What is sent is hashed; `capacity` should be all buffers of the pool, so that
    /// sending never waits.
    pub(crate) fn start(algorithm: Algorithm, capacity: usize) -> (SyncSender<Chunk>, Self) {
        let (sender, chunks) = sync_channel::<Chunk>(capacity);
        let thread = std::thread::spawn(move || {
            let mut hasher = Hasher::new(algorithm);
            let mut busy = Duration::ZERO;
            for chunk in chunks {
                let started = Instant::now();
                hasher.update(&chunk);
                busy += started.elapsed();
            }
            (Digest { algorithm, value: hasher.finish() }, busy)
        });
        (sender, Self(thread))
    }

    /// The digest of all that was sent, and the time it took. Waits until every sender is gone.
    pub(crate) fn finish(self) -> (Digest, Duration) {
        match self.0.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        // Published test vectors for the message "abc" (FIPS 180, FIPS 202, RFC 1321).
        for text in [
            "md5:900150983cd24fb0d6963f7d28e17f72",
            "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "sha3_256:3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
        ] {
            let digest: Digest = text.parse().unwrap();
            assert_eq!(Digest::of(digest.algorithm, b"abc"), digest);
            assert_eq!(digest.to_string(), text);
        }
    }

    #[test]
    fn digests_are_as_long_as_their_algorithms_say() {
        for algorithm in Algorithm::ALL {
            let digest = Digest::of(algorithm, b"abc");
            assert_eq!(digest.value.len(), algorithm.digest_bytes(), "{}", algorithm.name());
            assert_eq!(Digest::from_hex(algorithm, &digest.hex()), Ok(digest));
        }
    }

    #[test]
    fn upper_case_digits_are_the_same_digest() {
        let lower = Digest::of(Algorithm::Sha512, b"x");
        assert_eq!(Digest::from_hex(Algorithm::Sha512, &lower.hex().to_uppercase()), Ok(lower));
    }

    #[test]
    fn wrong_digests_say_what_is_wrong() {
        assert!("sha256:abcd".parse::<Digest>().unwrap_err().contains("64 hexadecimal digits"));
        assert!("crc32:abcd".parse::<Digest>().unwrap_err().contains("unknown algorithm"));
        assert!("deadbeef".parse::<Digest>().unwrap_err().contains("ALGORITHM:HEX"));
    }
}
