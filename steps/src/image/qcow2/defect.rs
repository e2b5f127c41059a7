//! Why an image is refused.

/// What is wrong with a qcow2 image. Offsets and lengths are bytes of the image file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The file ends before a structure it must hold.
    #[error("the file ends at byte {total_bytes}, inside its {what}")]
    Truncated {
        /// The structure.
        what: &'static str,
        /// Length of the file.
        total_bytes: u64,
    },
    /// The file does not start with the qcow2 magic.
    #[error("no qcow2 magic at the start")]
    NotQcow2,
    /// Neither version 2 nor 3.
    #[error("qcow2 version {0} is unknown")]
    Version(u32),
    /// The disk's content is partly in another image.
    #[error("the image has a backing file")]
    BackingFile,
    /// The disk's content is in another file.
    #[error("the image has an external data file")]
    DataFile,
    /// The content is encrypted.
    #[error("the image is encrypted (method {0})")]
    Encrypted(u32),
    /// A writer that met an inconsistency marked the image.
    #[error("the image is marked corrupt")]
    MarkedCorrupt,
    /// Features a reader must know.
    #[error("unknown incompatible features {0:#x}")]
    UnknownFeatures(u64),
    /// A header field is out of its range.
    #[error("header field {field} is {value}")]
    Header {
        /// The field's name in the specification.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// The virtual size is larger than the device.
    #[error("image virtual size {virtual_bytes} exceeds device size {device_bytes}")]
    TooLarge {
        /// The virtual disk's size.
        virtual_bytes: u64,
        /// The device's size.
        device_bytes: u64,
    },
    /// The L1 table has fewer entries than the virtual size needs.
    #[error("the L1 table has {entries} entries, the virtual size needs {needed}")]
    SmallL1 {
        /// Entries it has.
        entries: u64,
        /// Entries the virtual size needs.
        needed: u64,
    },
    /// A table entry that no valid image holds.
    #[error("{table} entry for guest offset {guest:#x} is {entry:#x}: {reason}")]
    Entry {
        /// `L1` or `L2`.
        table: &'static str,
        /// The first guest byte the entry describes.
        guest: u64,
        /// The entry.
        entry: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two structures claim the same part of the file.
    #[error("offset {host:#x} of the file is used twice ({what})")]
    Overlap {
        /// Where.
        host: u64,
        /// The second claimant.
        what: &'static str,
    },
    /// A compressed cluster does not decode to one cluster.
    #[error("the compressed cluster for guest offset {guest:#x} does not decode")]
    Compressed {
        /// Where its content belongs.
        guest: u64,
    },
    /// The metadata read in advance is not that of the file that was hashed.
    #[error("the {what} read in advance differs from the file's")]
    Changed {
        /// The structure.
        what: &'static str,
    },
    /// No further pass over the file can place what is left.
    #[error("the tables need more memory than allowed")]
    TooScattered,
}
