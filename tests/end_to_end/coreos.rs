//! CoreOS: Ignition configs, live ISOs, and installing it.

mod customize;
mod download;
mod ignition_config;
mod ignition_engine;
mod ignition_iso;
mod ignition_specification;
mod install_coreos;
mod installer;
mod native;
mod report_failure;
