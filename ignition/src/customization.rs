//! What a live system is given, whichever way it boots: Ignition configs, certificate authorities, network connections. All
//! of it becomes files of its initramfs (coreos-installer, `iso customize` and `pxe customize`).

use serde::Deserialize;
use thiserror::Error;

use crate::archive::Archive;
use crate::document::{
    Contents, Document, Ignition, Included, Passwd, Proxy, Security, Storage, Systemd, Tls, VERSION,
};
use crate::keyfile::{self, Keyfile, KeyfileError};
use crate::user_config::UserConfig;

/// What of a customization cannot work.
#[derive(Debug, Error)]
pub enum CustomizationError {
    /// The system is too old to take network connections from its initramfs, or no CoreOS.
    #[error(
        "this system does not read network configuration in its initramfs (no live-initrd-network among its features)"
    )]
    NoNetwork,
    /// Not a list of certificates.
    #[error("the certificate authorities are not PEM")]
    Certificates,
    /// A keyfile.
    #[error(transparent)]
    Keyfile(#[from] KeyfileError),
}

/// What a live system says it can do (`features.json`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Features {
    /// Its initramfs reads keyfiles.
    pub live_initrd_network: bool,
}

/// A customization.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Customization {
    /// Configs of the live system; later ones win.
    pub configs: Vec<UserConfig>,
    /// Certificate authorities for what Ignition fetches, PEM.
    pub certificates: Vec<String>,
    /// Network connections, in force before Ignition runs.
    pub keyfiles: Vec<Keyfile>,
}

impl Customization {
    /// The Ignition config of a live system in its initramfs.
    pub const CONFIG: &str = "config.ign";

    /// The files of the initramfs.
    ///
    /// # Errors
    /// What cannot work on a system with these features.
    pub fn archive(&self, features: Features) -> Result<Archive, CustomizationError> {
        let mut archive = Archive::default();
        if !self.keyfiles.is_empty() && !features.live_initrd_network {
            return Err(CustomizationError::NoNetwork);
        }
        keyfile::embed(&self.keyfiles, &mut archive)?;
        if let Some(config) = self.config()? {
            archive.insert(Self::CONFIG, config);
        }
        Ok(archive)
    }

    /// One config alone is embedded as it is; several are merged by Ignition.
    fn config(&self) -> Result<Option<String>, CustomizationError> {
        if self.certificates.iter().any(|pem| !pem.contains("-----BEGIN CERTIFICATE-----")) {
            return Err(CustomizationError::Certificates);
        }
        let text = |config: &UserConfig| config.document().to_string();
        match (&self.configs[..], &self.certificates[..]) {
            ([], []) => return Ok(None),
            ([config], []) => return Ok(Some(text(config))),
            _ => {}
        }
        let document = Document {
            ignition: Ignition {
                version: VERSION,
                config: (!self.configs.is_empty()).then(|| Included {
                    merge: self.configs.iter().map(|config| Contents::inline(text(config))).collect(),
                }),
                proxy: Proxy::default(),
                security: (!self.certificates.is_empty()).then(|| Security {
                    tls: Tls { certificate_authorities: self.certificates.iter().map(Contents::inline).collect() },
                }),
            },
            passwd: Passwd::default(),
            storage: Storage::default(),
            systemd: Systemd::default(),
        };
        Ok(Some(serde_json::to_string(&document).expect("a document is JSON")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::specification;

    const NETWORK: Features = Features { live_initrd_network: true };

    fn user(version: &str) -> UserConfig {
        UserConfig::read(&json!({"ignition": {"version": version}, "passwd": {"users": [{"name": "core"}]}}), None)
            .unwrap()
    }

    fn config(customization: &Customization) -> Value {
        serde_json::from_slice(customization.archive(NETWORK).unwrap().get(Customization::CONFIG).unwrap()).unwrap()
    }

    #[test]
    fn one_config_stays_itself_and_several_are_merged() {
        let mut customization = Customization { configs: vec![user("3.4.0")], ..Customization::default() };
        assert_eq!(config(&customization), *user("3.4.0").document());
        customization.configs.push(user("3.1.0"));
        customization.certificates.push("-----BEGIN CERTIFICATE-----\n".to_owned());
        let merged = config(&customization);
        specification::check(&merged, None).unwrap();
        assert_eq!(merged["ignition"]["config"]["merge"].as_array().map(Vec::len), Some(2));
        assert_eq!(merged["ignition"]["security"]["tls"]["certificateAuthorities"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn nothing_is_embedded_that_was_not_given() {
        assert!(Customization::default().archive(Features::default()).unwrap().is_empty());
    }

    #[test]
    fn network_configuration_needs_a_system_that_reads_it() {
        let keyfiles = vec![Keyfile::new("eth0.nmconnection", "[connection]\n").unwrap()];
        let customization = Customization { keyfiles, ..Customization::default() };
        assert!(matches!(customization.archive(Features::default()), Err(CustomizationError::NoNetwork)));
        assert_eq!(customization.archive(NETWORK).unwrap().paths().count(), 1);
    }
}
