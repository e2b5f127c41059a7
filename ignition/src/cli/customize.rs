//! Arguments that say what a live system is given.

use std::path::PathBuf;

use crate::customization::Customization;
use anyhow::Context;

use super::input;

/// What `iso customize` and `pxe customize` have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Ignition config of the live system; repeatable: Ignition merges them, later ones win
    #[arg(long, value_name = "CONFIG")]
    live_ignition: Vec<PathBuf>,
    /// NetworkManager keyfile, in force before Ignition runs and later; repeatable
    #[arg(long, value_name = "FILE")]
    network_keyfile: Vec<PathBuf>,
    /// Network configuration in nmstate's notation (YAML or JSON), as keyfiles; repeatable
    #[arg(long, value_name = "FILE")]
    network_nmstate: Vec<PathBuf>,
    /// Certificate authorities (PEM) for what Ignition fetches; repeatable
    #[arg(long, value_name = "FILE")]
    ignition_ca: Vec<PathBuf>,
}

impl Arguments {
    pub(super) fn customization(&self) -> anyhow::Result<Customization> {
        let configs = self.live_ignition.iter().map(|path| Ok(input::ignition_config(path)?.1));
        let mut keyfiles =
            self.network_keyfile.iter().map(|path| input::keyfile(path)).collect::<Result<Vec<_>, _>>()?;
        for path in &self.network_nmstate {
            let made = crate::nmstate::keyfiles(&input::text(path)?);
            keyfiles.extend(made.with_context(|| path.display().to_string())?);
        }
        Ok(Customization {
            configs: configs.collect::<anyhow::Result<_>>()?,
            certificates: self.ignition_ca.iter().map(|path| input::text(path)).collect::<Result<_, _>>()?,
            keyfiles,
        })
    }

    pub(super) fn warn(&self, customization: &Customization) {
        for (path, config) in self.live_ignition.iter().zip(&customization.configs) {
            input::warn_about(path, config);
        }
    }
}
