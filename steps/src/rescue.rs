//! Handing the machine over to a user: the password of the rescue user.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha_crypt::{PasswordHasher, ShaCrypt};

use crate::site::Site;
use crate::{ErrorKind, StepError};

/// Read by the unit that creates the user `rescue`.
const PASSWORD_FILE: &str = "/etc/ipa-rescue-config/ipa-rescue-password";
/// Tells that unit that it is time.
const MARKER: &str = "/etc/.rescued";

/// Leaves the crypt(3) hash of the password, and the marker, below the machine's root. A password that is not hashed
/// yet is hashed with SHA-256. A local run leaves `/etc` of the running system alone.
///
/// # Errors
/// When the password cannot be hashed or a file cannot be written (the directory is part of the ramdisk).
pub fn finalize(password: &str, hashed: bool, site: &Site) -> Result<(), StepError> {
    let hash = if hashed { password.to_string() } else { sha256_crypt(password)? };
    if site.is_local_run() && site.machine.path("/") == Path::new("/") {
        tracing::warn!("local run (allowed_devices is set): no rescue password is written");
        return Ok(());
    }
    let file = site.machine.path(PASSWORD_FILE);
    write_secret(&file, &hash).map_err(|error| {
        ErrorKind::Execution.error(format!("cannot write the rescue password to {}", file.display())).because(error)
    })?;
    let marker = site.machine.path(MARKER);
    fs::write(&marker, "")
        .map_err(|error| ErrorKind::Execution.error(format!("cannot write {}", marker.display())).because(error))
}

fn sha256_crypt(password: &str) -> Result<String, StepError> {
    ShaCrypt::SHA256
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| ErrorKind::Execution.error(format!("cannot hash the rescue password: {error}")))
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use ferric_hardware::machine::Machine;

    use sha_crypt::PasswordVerifier;

    use super::*;
    use crate::options::Options;

    fn machine(root: &Path) -> Site {
        fs::create_dir_all(root.join("etc/ipa-rescue-config")).unwrap();
        Site::new(Machine::at(root), Options::default())
    }

    #[test]
    fn a_hash_is_kept_as_it_came() {
        let root = tempfile::tempdir().unwrap();
        finalize("$6$salt$hash", true, &machine(root.path())).unwrap();
        assert_eq!(fs::read_to_string(root.path().join(&PASSWORD_FILE[1..])).unwrap(), "$6$salt$hash");
        assert!(root.path().join(&MARKER[1..]).exists());
    }

    #[test]
    fn a_password_becomes_a_sha256_crypt_hash_that_verifies() {
        let root = tempfile::tempdir().unwrap();
        finalize("secret", false, &machine(root.path())).unwrap();
        let hash = fs::read_to_string(root.path().join(&PASSWORD_FILE[1..])).unwrap();
        assert!(hash.starts_with("$5$"), "{hash}");
        ShaCrypt::SHA256.verify_password(b"secret", hash.as_str()).unwrap();
    }

    #[test]
    fn a_ramdisk_without_the_directory_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let site = Site::new(Machine::at(root.path()), Options::default());
        let error = finalize("x", true, &site).unwrap_err().to_string();
        assert!(error.contains(PASSWORD_FILE), "{error}");
    }
}
