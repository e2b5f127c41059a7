//! The libraries that compute digests.

use digest::DynDigest;

use super::Algorithm;

/// A digest being computed. SHA-384 and SHA-512 come from OpenSSL, which takes about three quarters of the time of
/// `sha2` for them (docs/benchmarks.md).
pub(crate) enum Hasher {
    Sha384(openssl::sha::Sha384),
    Sha512(openssl::sha::Sha512),
    Other(Box<dyn DynDigest + Send>),
}

impl Hasher {
    /// A fresh state.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self::Other(match algorithm {
            Algorithm::Md5 => Box::new(md5::Md5::default()),
            Algorithm::Sha1 => Box::new(sha1::Sha1::default()),
            Algorithm::Sha224 => Box::new(sha2::Sha224::default()),
            Algorithm::Sha256 => Box::new(sha2::Sha256::default()),
            Algorithm::Sha384 => return Self::Sha384(openssl::sha::Sha384::new()),
            Algorithm::Sha512 => return Self::Sha512(openssl::sha::Sha512::new()),
            Algorithm::Sha3_224 => Box::new(sha3::Sha3_224::default()),
            Algorithm::Sha3_256 => Box::new(sha3::Sha3_256::default()),
            Algorithm::Sha3_384 => Box::new(sha3::Sha3_384::default()),
            Algorithm::Sha3_512 => Box::new(sha3::Sha3_512::default()),
        })
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha384(state) => state.update(bytes),
            Self::Sha512(state) => state.update(bytes),
            Self::Other(state) => state.update(bytes),
        }
    }

    /// The bytes of the digest.
    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha384(state) => state.finish().to_vec(),
            Self::Sha512(state) => state.finish().to_vec(),
            Self::Other(state) => state.finalize().into_vec(),
        }
    }
}
