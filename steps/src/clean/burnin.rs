//! Burn-in: wearing the machine in with load. The settings are the node's.
//!
//! - `stress`: processors and memory; `gpu`; `network`
//! - `disk`: every disk, by fio (`fio`) or, where that is missing, by ourselves (`write_verify`); `smart` is what the disks
//!   say afterwards
//! - `tools`: how programs are called

mod disk;
mod fio;
mod gpu;
mod network;
mod smart;
mod stress;
mod tools;
mod write_verify;

pub use self::disk::burnin_disk;
pub use self::gpu::burnin_gpu;
pub use self::network::burnin_network;
pub use self::stress::{burnin_cpu, burnin_memory};
