//! The step `execute_bootc_install` with a podman that records how it was called and writes a partition table.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use ferric_steps::catalogue;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_tests::loop_device::LoopDevice;
use serde_json::{Value, json};

#[test]
fn the_container_is_pulled_with_credentials_and_run_without_them() {
    let disk = LoopDevice::new(1 << 30).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().display();
    let podman = directory.path().join("podman");
    let script = format!(
        "#!/bin/sh\ncd {home}\necho \"$@\" >> calls\ncat \"$CONTAINERS_CONF_OVERRIDE\" > settings\n\
         case $1 in --version) exit 0 ;; pull) cat ${{2#--authfile=}} > auth ;;\n\
         *) ls /tmp/ferric-*.json >> leaked 2>/dev/null; for last; do :; done; sgdisk -n 1:2048:+8M $last ;; esac\n"
    );
    std::fs::write(&podman, script).unwrap();
    std::fs::set_permissions(&podman, std::fs::Permissions::from_mode(0o755)).unwrap();
    let options = Options {
        allowed_devices: Some(vec![disk.path().to_path_buf()]),
        steps_dir: "/nonexistent".into(),
        ..Options::default()
    };
    let directories = [directory.path(), Path::new("/usr/sbin"), Path::new("/usr/bin"), Path::new("/bin")];
    let tools = Tools::in_directories(directories.map(Path::to_path_buf), None);
    let step = Step::new(Site { tools, ..Site::new(Machine::host(), options) });
    let secret = STANDARD.encode("dXNlcjpwdw==");
    let Value::Object(arguments) = json!({"image_source": "oci://host:5000/os:1", "oci_pull_secret": secret}) else {
        unreachable!()
    };
    let execution = catalogue::execute(Kind::Deploy, "execute_bootc_install", arguments, step);
    let result = tokio::runtime::Runtime::new().unwrap().block_on(execution).unwrap();
    let device = disk.path().display();
    assert_eq!(
        result["result"],
        format!("execute_bootc_install: Container image (oci://host:5000/os:1) written to device {device}")
    );
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let auth: Value = serde_json::from_str(&read("auth")).unwrap();
    assert_eq!(auth, json!({"auths": {"host:5000": {"auth": "dXNlcjpwdw=="}}}));
    let calls = read("calls");
    assert!(calls.contains("--pull=never") && calls.contains("host:5000/os:1 bootc install to-disk --wipe"), "{calls}");
    assert!(calls.trim_end().ends_with(&format!("--root-size=256M --disable-selinux {device}")), "{calls}");
    assert_eq!(read("leaked"), "", "the credentials were there while the container ran");
    assert!(read("settings").contains("no_pivot_root = true"));
}
