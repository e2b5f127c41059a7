//! [`CoreosIpa`] by environment variables, with the names and meanings that Metal3's images give them (ironic-image's
//! `configure-coreos-ipa`, the image customization controller).

use std::env;

use serde_json::Value;

use super::agent::{CoreosIpa, CoreosIpaError, pull_secret};
use crate::node::flag;

impl CoreosIpa {
    /// The same with what the environment says.
    ///
    /// # Errors
    /// A variable that cannot be understood.
    pub fn with_environment(self) -> Result<Self, CoreosIpaError> {
        self.with_variables(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn with_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Self, CoreosIpaError> {
        let wrong = |name, problem: String| CoreosIpaError::Variable { name, problem };
        if let Some(text) = variable("IRONIC_USE_COREOS_IPA") {
            let read = flag::read(&Value::String(text));
            self.enabled = read.map_err(|error| wrong("IRONIC_USE_COREOS_IPA", error.to_string()))?;
        }
        if let Some(image) = variable("IRONIC_AGENT_IMAGE") {
            self.agent_image = image;
        }
        for word in variable("IRONIC_AGENT_PODMAN_FLAGS").unwrap_or_default().split_whitespace() {
            match word {
                "--tls-verify=false" => self.insecure_registry = true,
                "--tls-verify=true" => self.insecure_registry = false,
                other => {
                    let problem = format!("{other}: only --tls-verify is understood");
                    return Err(wrong("IRONIC_AGENT_PODMAN_FLAGS", problem));
                }
            }
        }
        match variable("IRONIC_AGENT_PULL_SECRET") {
            // No base64 of JSON begins like that.
            Some(path) if path.starts_with('/') => self.pull_secret = Some(path.into()),
            Some(secret) => {
                let problem = "neither base64 of podman's auth.json nor the path of such a file";
                let secret = pull_secret(&secret).ok_or_else(|| wrong("IRONIC_AGENT_PULL_SECRET", problem.into()))?;
                self.given_pull_secret = Some(secret);
            }
            None => {}
        }
        // The first is the younger name; an option of the configuration is more than either.
        let is_set = self.agent_options.iter().any(|option| option.starts_with("enable_vlan_interfaces="));
        let vlans =
            ["IRONIC_AGENT_VLAN_INTERFACES", "IRONIC_INSPECTOR_VLAN_INTERFACES"].into_iter().find_map(&variable);
        if let Some(vlans) = vlans.filter(|_| !is_set) {
            self.agent_options.push(format!("enable_vlan_interfaces={vlans}"));
        }
        if let Some(words) = variable("IRONIC_KERNEL_PARAMS") {
            self.kernel_append_params = words;
        }
        if let Some(folder) = variable("IMAGE_SHARED_DIR") {
            self.images = folder.into();
        }
        self.ssh_key = variable("IRONIC_RAMDISK_SSH_KEY").or(self.ssh_key);
        self.registries_conf = variable("REGISTRIES_CONF_PATH").map(Into::into).or(self.registries_conf);
        self.ip_options = variable("IP_OPTIONS").or(self.ip_options);
        // Those of the conductor's environment are as well the machines', as in Metal3's images.
        self.http_proxy = variable("HTTP_PROXY").or(self.http_proxy);
        self.https_proxy = variable("HTTPS_PROXY").or(self.https_proxy);
        if let Some(hosts) = variable("NO_PROXY") {
            self.no_proxy =
                hosts.split(',').map(|host| host.trim().to_owned()).filter(|host| !host.is_empty()).collect();
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use ferric_ignition::kernel_arguments::KernelArgument;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::node::{Node, Spec};

    const SECRET: &str = r#"{"auths": {"registry.example:5000": {"auth": "dXNlcjp3b3Jk"}}}"#;
    /// [`SECRET`], as it comes.
    const ENCODED: &str = "eyJhdXRocyI6IHsicmVnaXN0cnkuZXhhbXBsZTo1MDAwIjogeyJhdXRoIjogImRYTmxjanAzYjNKayJ9fX0=";

    fn with(variables: &[(&str, &str)]) -> Result<CoreosIpa, CoreosIpaError> {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        CoreosIpa::default().with_variables(value)
    }

    #[test]
    fn the_environment_has_the_names_of_metal3s_images() {
        assert!(!with(&[]).unwrap().enabled);
        let folder = tempfile::tempdir().unwrap();
        let registries = folder.path().join("registries.conf");
        std::fs::write(&registries, "unqualified-search-registries = []\n").unwrap();
        let ipa = with(&[
            ("IRONIC_USE_COREOS_IPA", "true"),
            ("IRONIC_AGENT_IMAGE", "registry.example:5000/ferric/agent:1"),
            ("IRONIC_AGENT_PODMAN_FLAGS", "--tls-verify=false"),
            ("IRONIC_AGENT_PULL_SECRET", ENCODED),
            ("IRONIC_INSPECTOR_VLAN_INTERFACES", "all"),
            ("IRONIC_RAMDISK_SSH_KEY", "ssh-ed25519 AAAA core@site\n"),
            ("IRONIC_KERNEL_PARAMS", "console=ttyS0 nofb"),
            ("IMAGE_SHARED_DIR", "/images"),
            ("REGISTRIES_CONF_PATH", registries.to_str().unwrap()),
            ("IP_OPTIONS", "ip=dhcp6"),
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            ("NO_PROXY", "10.0.0.0/8, example"),
        ])
        .unwrap();
        assert!(ipa.enabled && ipa.insecure_registry);
        assert_eq!((ipa.given_pull_secret.as_deref(), ipa.images.to_str()), (Some(SECRET), Some("/images")));
        assert_eq!(ipa.agent_options, ["enable_vlan_interfaces=all"]);
        assert_eq!(ipa.no_proxy, ["10.0.0.0/8", "example"]);
        let site = ipa.site("http://192.0.2.1:6385", None).unwrap();
        let words: Vec<&str> = site.arguments().iter().map(KernelArgument::as_str).collect();
        assert_eq!(words, ["console=ttyS0", "nofb"]);
        let config: Value =
            serde_json::from_slice(&site.ignition(&Node::new(Uuid::nil(), Spec::default())).unwrap()).unwrap();
        let files: Vec<&Value> =
            config["storage"]["files"].as_array().unwrap().iter().map(|file| &file["path"]).collect();
        assert!(files.contains(&&json!("/etc/containers/registries.conf")), "{files:?}");
        let units = config["systemd"]["units"].to_string();
        assert!(units.contains("IPA_COREOS_IP_OPTIONS=ip=dhcp6"), "{units}");
    }

    #[test]
    fn what_cannot_be_understood_is_refused_without_the_secret() {
        for (name, value, said) in [
            ("IRONIC_AGENT_PODMAN_FLAGS", "--pid=private", "--pid=private: only --tls-verify is understood"),
            (
                "IRONIC_AGENT_PULL_SECRET",
                "c2VjcmV0",
                "neither base64 of podman's auth.json nor the path of such a file",
            ),
        ] {
            assert_eq!(with(&[(name, value)]).unwrap_err().to_string(), format!("{name}: {said}"));
        }
        let error = CoreosIpa::default().site("http://192.0.2.1:6385", None).unwrap_err().to_string();
        assert!(error.contains("IRONIC_AGENT_IMAGE"), "{error}");
        // A mounted secret of the image customization controller is base64, too.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pull-secret");
        std::fs::write(&path, format!("{ENCODED}\n")).unwrap();
        let ipa = CoreosIpa { agent_image: "registry.example:5000/ferric/agent:1".into(), ..CoreosIpa::default() };
        CoreosIpa { pull_secret: Some(path.clone()), ..ipa.clone() }.site("http://192.0.2.1:6385", None).unwrap();
        std::fs::write(&path, "secret").unwrap();
        let error =
            CoreosIpa { pull_secret: Some(path), ..ipa }.site("http://192.0.2.1:6385", None).unwrap_err().to_string();
        assert!(error.ends_with("neither podman's auth.json nor the base64 of one"), "{error}");
    }
}
