//! Handing the machine over to a user: the password of the rescue user, in a ramdisk; the user, on a host whose root is
//! mounted beside ours.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sha_crypt::{PasswordHasher, ShaCrypt};

use crate::site::Site;
use crate::{ErrorKind, StepError};

/// Read by the unit that creates the user `rescue`.
const PASSWORD_FILE: &str = "/etc/ipa-rescue-config/ipa-rescue-password";
/// Tells that unit that it is time.
const MARKER: &str = "/etc/.rescued";

/// The user that Ironic's documentation tells operators to log in as.
const USER: &str = "rescue";
/// Lets that user in with a password, on hosts that let nobody in so (CoreOS).
const SSHD_CONFIG: (&str, &str) =
    ("etc/ssh/sshd_config.d/10-rescue.conf", "Match User rescue\n    PasswordAuthentication yes\n");
/// Of a salt: sixteen characters, the most that crypt(3) of others reads. With a longer one no password would fit.
const SALT_BYTES: usize = 12;
/// How long a program of the host may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Leaves the crypt(3) hash of the password, and the marker, below the machine's root, and makes the user on the host,
/// when that has a root of its own. A password that is not hashed yet is hashed with SHA-256. A local run leaves `/etc`
/// of the running system alone.
///
/// # Errors
/// When the password cannot be hashed, a file cannot be written (the directory is part of the ramdisk) or the host does
/// not take the user.
pub fn finalize(password: &str, hashed: bool, site: &Site) -> Result<(), StepError> {
    let hash = if hashed { password.to_string() } else { sha256_crypt(password)? };
    if !is_hash(&hash) {
        return Err(ErrorKind::InvalidParameters.error("rescue_password is no hash that crypt(3) makes"));
    }
    if site.is_local_run() && site.machine.path("/") == Path::new("/") {
        tracing::warn!("local run (allowed_devices is set): no rescue password is written");
        return Ok(());
    }
    let file = site.machine.path(PASSWORD_FILE);
    write_secret(&file, &hash).map_err(|error| {
        ErrorKind::Execution.error(format!("cannot write the rescue password to {}", file.display())).because(error)
    })?;
    if let Some(host) = site.tools.host_root() {
        make_user(&hash, host, site)
            .map_err(|error| ErrorKind::Execution.error("cannot make the rescue user").because(error))?;
    }
    let marker = site.machine.path(MARKER);
    fs::write(&marker, "")
        .map_err(|error| ErrorKind::Execution.error(format!("cannot write {}", marker.display())).because(error))
}

fn make_user(hash: &str, host: &Path, site: &Site) -> Result<(), StepError> {
    let on_host = |name: &str| site.tools.find_on_host(name);
    // It may be there from an earlier rescue, or have been made by the operator.
    on_host("useradd")?.run(["--create-home", "--groups", "wheel", USER]).timeout(LIMIT).output_any_code()?;
    let account = format!("{USER}:{hash}\n");
    on_host("chpasswd")?.run(["--encrypted"]).stdin(account).timeout(LIMIT).output()?;
    let (file, text) = SSHD_CONFIG;
    let file = host.join(file);
    if file.parent().is_some_and(Path::is_dir) {
        fs::write(&file, text)
            .map_err(|error| ErrorKind::Execution.error(format!("cannot write {}", file.display())).because(error))?;
        let reloaded = on_host("systemctl")?.run(["reload-or-restart", "sshd.service"]).timeout(LIMIT).output();
        if let Err(error) = reloaded {
            tracing::warn!(%error, "the rescue user can only log in on the console");
        }
    }
    Ok(())
}

/// Whether it may stand in a line of `/etc/shadow`.
fn is_hash(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./$=,_+-".contains(&byte))
}

fn sha256_crypt(password: &str) -> Result<String, StepError> {
    let salt: [u8; SALT_BYTES] = rand::random();
    ShaCrypt::SHA256
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| ErrorKind::Execution.error(format!("cannot hash the rescue password: {error}")))
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use ferric_hardware::machine::Machine;
    use ferric_hardware::tool::Tools;

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
        let salt = hash.rsplit('$').nth(1).unwrap();
        assert!(hash.starts_with("$5$") && salt.len() == 16, "{hash}");
        ShaCrypt::SHA256.verify_password(b"secret", hash.as_str()).unwrap();
    }

    #[test]
    fn text_that_is_no_hash_makes_no_user() {
        let root = tempfile::tempdir().unwrap();
        for text in ["", "x:0:0::/:/bin/sh", "$6$salt$hash\nroot::0:0:::"] {
            let error = finalize(text, true, &machine(root.path())).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidParameters, "{error}");
        }
        assert!(!root.path().join(&MARKER[1..]).exists());
    }

    #[test]
    fn a_host_gets_the_user_and_lets_it_in() {
        let (root, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let site = machine(root.path());
        let programs = root.path().join("programs");
        fs::create_dir_all(&programs).unwrap();
        // What the host is told; its programs would run there by chroot.
        for (name, then) in [("useradd", ""), ("chpasswd", "cat >>log\n"), ("systemctl", "")] {
            let script = format!("#!/bin/sh\ncd {}\necho {name} \"$@\" >>log\n{then}", root.path().display());
            fs::write(programs.join(name), script).unwrap();
            fs::set_permissions(programs.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        fs::create_dir_all(host.path().join("etc/ssh/sshd_config.d")).unwrap();
        let site = Site { tools: Tools::in_directories([programs], None), ..site };
        make_user("$6$salt$hash", host.path(), &site).unwrap();
        let log = fs::read_to_string(root.path().join("log")).unwrap();
        let told = "useradd --create-home --groups wheel rescue\nchpasswd --encrypted\nrescue:$6$salt$hash\n";
        assert_eq!(log, format!("{told}systemctl reload-or-restart sshd.service\n"));
        let sshd = fs::read_to_string(host.path().join("etc/ssh/sshd_config.d/10-rescue.conf")).unwrap();
        assert!(sshd.starts_with("Match User rescue\n"));
    }

    #[test]
    fn a_ramdisk_without_the_directory_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let site = Site::new(Machine::at(root.path()), Options::default());
        let error = finalize("x", true, &site).unwrap_err().to_string();
        assert!(error.contains(PASSWORD_FILE), "{error}");
    }
}
