//! `ferric-ignition iso customize`, `iso network`, `iso extract` and `pxe` beside the real coreos-installer, on its own
//! cut-down live ISOs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use ferric_ignition::archive::Archive;
use ferric_ignition::live_iso::LiveIso;
use ferric_tests::peers;
use ferric_tests::process::program;
use serde_json::Value;

const CONFIG: &str = r#"{"ignition":{"version":"3.4.0"},"passwd":{"users":[{"name":"core"}]}}"#;
const OTHER_CONFIG: &str = r#"{"ignition":{"version":"3.2.0"},"storage":{"files":[{"path":"/etc/motd"}]}}"#;
const KEYFILE: &str = "[connection]\nid=eth0\ntype=ethernet\n[ipv4]\nmethod=manual\naddress1=192.0.2.10/24\n";
const NMSTATE: &str = "
interfaces:
- name: bond0
  type: bond
  state: up
  link-aggregation: {mode: active-backup, port: [eth1, eth2]}
  ipv4: {enabled: true, dhcp: true}
- name: bond0.7
  type: vlan
  state: up
  vlan: {base-iface: bond0, id: 7}
  ipv6: {enabled: true, address: [{ip: 'fd00::10', prefix-length: 64}]}
dns-resolver: {config: {server: [192.0.2.53]}}
";
/// The largest process for an image of a gibibyte.
const MEMORY_KIB: u64 = 48 << 10;

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stderr(Stdio::piped()).output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn ours(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("ferric-ignition"));
    command.args(arguments);
    command
}

fn theirs(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(peers::folder()?.join("bin/coreos-installer"));
    command.args(arguments);
    Ok(command)
}

/// Files that both programs are given.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Result<Self> {
        let lab = Self { folder: tempfile::tempdir()? };
        for (name, text) in [
            ("config.ign", CONFIG),
            ("other.ign", OTHER_CONFIG),
            ("eth0.nmconnection", KEYFILE),
            ("network.yml", NMSTATE),
            ("ca.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ] {
            fs::write(lab.path(name), text)?;
        }
        Ok(lab)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The unpacked image of that name.
    fn image(&self, name: &str) -> Result<PathBuf> {
        let packed = peers::folder()?.join("live-isos").join(format!("{name}.iso.xz"));
        let iso = self.path(&format!("{name}.iso"));
        fs::write(&iso, run(Command::new("xz").args(["--decompress", "--stdout"]).arg(packed))?)?;
        Ok(iso)
    }

    /// Images whose systems can do everything.
    fn images(&self) -> Result<Vec<PathBuf>> {
        let names = ["2021-12", "2022-02", "2022-09", "2023-03.x86_64", "2023-07.x86_64", "2023-07.s390x"];
        names.iter().map(|name| self.image(&format!("embed-areas-{name}"))).collect()
    }
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    fs::read(&path).with_context(|| path.as_ref().display().to_string())
}

/// The configs that a config merges, and whether it has certificate authorities.
fn merged(config: &[u8]) -> Result<(Vec<Value>, usize)> {
    let config: Value = serde_json::from_slice(config)?;
    let authorities = config["ignition"]["security"]["tls"]["certificateAuthorities"].as_array().map_or(0, Vec::len);
    let list = config["ignition"]["config"]["merge"].as_array().context("nothing is merged")?;
    let configs = list.iter().map(|resource| {
        let bytes = ferric_ignition::specification::data_url::decode(resource["source"].as_str().unwrap_or_default())?;
        let bytes = match resource["compression"].as_str() {
            Some("gzip") => std::io::read_to_string(flate2::read::GzDecoder::new(&bytes[..]))?.into_bytes(),
            _ => bytes,
        };
        let mut config: Value = serde_json::from_slice(&bytes)?;
        remove_nulls(&mut config);
        Ok(config)
    });
    Ok((configs.collect::<Result<_>>()?, authorities))
}

/// They write a null for everything that is not there.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(remove_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

#[test]
fn either_program_reads_what_the_other_customized() -> Result<()> {
    let lab = Lab::new()?;
    let (config, other, keyfile, nmstate, ca) = (
        lab.text("config.ign"),
        lab.text("other.ign"),
        lab.text("eth0.nmconnection"),
        lab.text("network.yml"),
        lab.text("ca.pem"),
    );
    let mut customizations: Vec<&str> = vec!["--live-ignition", &config, "--live-ignition", &other];
    customizations.extend(["--network-keyfile", &keyfile, "--network-nmstate", &nmstate, "--ignition-ca", &ca]);
    let mut arguments = customizations.clone();
    arguments.extend(["--live-karg-append", "console=ttyS0", "--live-karg-append", "quiet"]);
    arguments.extend(["--live-karg-delete", "mitigations=auto,nosmt"]);
    arguments.extend(["--live-karg-replace", "ignition.platform.id=metal=qemu"]);
    for pristine in lab.images()? {
        let (one, two) = (lab.path("one.iso"), lab.path("two.iso"));
        for file in [&one, &two] {
            let _ = fs::remove_file(file);
        }
        let iso = pristine.display().to_string();
        run(ours(&["iso", "customize", &iso, "-o"]).arg(&one).args(&arguments))?;
        run(theirs(&["iso", "customize", &iso, "-o"])?.arg(&two).args(&arguments))?;
        assert_eq!(fs::metadata(&one)?.permissions().mode() & 0o777, 0o600);

        // Kernel arguments byte for byte, all but the area for Ignition; network configuration byte for byte.
        let archives =
            [&one, &two].map(|path| LiveIso::read(fs::File::open(path).unwrap()).unwrap().embedded().clone());
        let (mut bytes, mut their_bytes) = (read(&one)?, read(&two)?);
        let area: Value = serde_json::from_slice(&run(&mut theirs(&["dev", "show", "iso", "--ignition", &iso])?)?)?;
        let start = area["offset"].as_u64().context("no offset")? as usize;
        let area = start..start + area["length"].as_u64().context("no length")? as usize;
        bytes[area.clone()].fill(0);
        their_bytes[area].fill(0);
        assert!(bytes == their_bytes, "{iso}: they differ outside of the embedded archive");
        assert_eq!(archives[0].paths().collect::<Vec<_>>(), archives[1].paths().collect::<Vec<_>>());
        for path in archives[0].paths().filter(|path| *path != "config.ign") {
            assert_eq!(archives[0].get(path), archives[1].get(path), "{path}");
        }
        let configs = [&archives[0], &archives[1]].map(|archive| merged(archive.get("config.ign").unwrap()).unwrap());
        assert_eq!(configs[0], configs[1]);

        for (show, their_show) in [
            (&["iso", "show"][..], &["iso", "ignition", "show"][..]),
            (&["iso", "network", "extract"], &["iso", "network", "extract"]),
            (&["iso", "kargs", "show"], &["iso", "kargs", "show"]),
        ] {
            for iso in [&one, &two] {
                assert_eq!(run(ours(show).arg(iso))?, run(theirs(their_show)?.arg(iso))?, "{show:?} {iso:?}");
            }
        }
        let again = ours(&["iso", "customize", "-f"]).args(&arguments).arg(&two).output()?;
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        let again = ours(&["iso", "customize"]).args(&arguments).arg(&two).output()?;
        assert!(String::from_utf8_lossy(&again.stderr).contains("customized already"), "{again:?}");
        for file in [&one, &two] {
            run(ours(&["iso", "reset"]).arg(file))?;
            assert!(read(file)? == read(&pristine)?, "{iso} is not as it was");
        }
        // What goes to standard output is what goes to a file.
        let streamed = run(ours(&["iso", "customize", &iso, "-o", "-"]).args(&arguments))?;
        run(ours(&["iso", "customize", &iso]).args(&arguments))?;
        assert!(streamed == read(&pristine)?, "{iso}: the copy on standard output is another one");
    }
    Ok(())
}

#[test]
fn network_configuration_goes_in_and_out_as_theirs_does() -> Result<()> {
    let lab = Lab::new()?;
    for pristine in lab.images()? {
        let (one, two) = (lab.path("one.iso"), lab.path("two.iso"));
        fs::copy(&pristine, &one)?;
        fs::copy(&pristine, &two)?;
        run(ours(&["iso", "network", "embed", "-k"]).arg(lab.path("eth0.nmconnection")).arg(&one))?;
        run(theirs(&["iso", "network", "embed", "-k"])?.arg(lab.path("eth0.nmconnection")).arg(&two))?;
        for iso in [&one, &two] {
            let directory = lab.path("extracted");
            let _ = fs::remove_dir_all(&directory);
            run(ours(&["iso", "network", "extract", "-C"]).arg(&directory).arg(iso))?;
            assert_eq!(fs::read_to_string(directory.join("eth0.nmconnection"))?, KEYFILE);
            run(theirs(&["iso", "network", "extract"])?.arg(iso))?;
        }
        let again = ours(&["iso", "network", "embed", "-k"]).arg(lab.path("eth0.nmconnection")).arg(&two).output()?;
        assert!(String::from_utf8_lossy(&again.stderr).contains("embedded already"));
        run(theirs(&["iso", "network", "remove"])?.arg(&one))?;
        run(ours(&["iso", "network", "remove"]).arg(&two))?;
        assert!(read(&one)? == read(&pristine)? && read(&two)? == read(&pristine)?);
    }
    // A system of before that reads none.
    let old = lab.image("embed-areas-2021-09")?;
    let refused = ours(&["iso", "network", "embed", "-k"]).arg(lab.path("eth0.nmconnection")).arg(&old).output()?;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("does not read network configuration"), "{said}");
    Ok(())
}

#[test]
fn what_is_extracted_is_the_same_byte_for_byte() -> Result<()> {
    let lab = Lab::new()?;
    let url = "http://192.0.2.1/rootfs.img";
    for iso in lab.images()? {
        for with_url in [true, false] {
            let files = ["ours.iso", "ours.rootfs", "theirs.iso", "theirs.rootfs"].map(|name| lab.path(name));
            for file in &files {
                let _ = fs::remove_file(file);
            }
            let base = ["iso", "extract", "minimal-iso"];
            for (mut command, iso_out, rootfs) in
                [(ours(&base), &files[0], &files[1]), (theirs(&base)?, &files[2], &files[3])]
            {
                command.arg(&iso).arg(iso_out).arg("--output-rootfs").arg(rootfs);
                if with_url {
                    command.args(["--rootfs-url", url]);
                }
                run(&mut command)?;
            }
            assert!(read(&files[0])? == read(&files[2])?, "{iso:?}: the minimal ISOs differ");
            assert!(read(&files[1])? == read(&files[3])?, "{iso:?}: the root file systems differ");
            let mut streamed = ours(&base);
            streamed.arg(&iso);
            if with_url {
                streamed.args(["--rootfs-url", url]);
            }
            assert!(run(&mut streamed)? == read(&files[0])?, "{iso:?}: the one on standard output is another");
        }
        let (one, two) = (lab.path("ours.pxe"), lab.path("theirs.pxe"));
        for directory in [&one, &two] {
            let _ = fs::remove_dir_all(directory);
        }
        let listed = run(ours(&["iso", "extract", "pxe", "-o"]).arg(&one).arg(&iso))?;
        let their_list = run(theirs(&["iso", "extract", "pxe", "-o"])?.arg(&two).arg(&iso))?;
        let (listed, their_list) = (String::from_utf8(listed)?, String::from_utf8(their_list)?);
        assert_eq!(listed.replace("ours.pxe", "theirs.pxe"), their_list);
        for line in their_list.lines() {
            let name = Path::new(line).file_name().context("no name")?;
            assert!(read(one.join(name))? == read(two.join(name))?, "{line}");
        }
    }
    let customized = lab.image("embed-areas-2023-07.x86_64")?;
    run(ours(&["iso", "embed", "-i"]).arg(lab.path("config.ign")).arg(&customized))?;
    let refused = ours(&["iso", "extract", "minimal-iso"]).arg(&customized).output()?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("reset it first"), "{refused:?}");
    Ok(())
}

#[test]
fn initramfs_of_either_program_are_read_by_the_other() -> Result<()> {
    let lab = Lab::new()?;
    let (one, two) = (lab.path("one.img"), lab.path("two.img"));
    run(ours(&["pxe", "ignition", "wrap", "-i"]).arg(lab.path("config.ign")).arg("-o").arg(&one))?;
    run(theirs(&["pxe", "ignition", "wrap", "-i"])?.arg(lab.path("config.ign")).arg("-o").arg(&two))?;
    assert_eq!(run(theirs(&["pxe", "ignition", "unwrap"])?.arg(&one))?, CONFIG.as_bytes());
    assert_eq!(run(ours(&["pxe", "ignition", "unwrap"]).arg(&two))?, CONFIG.as_bytes());
    assert_eq!(fs::metadata(&one)?.permissions().mode() & 0o777, 0o600);

    let network = lab.path("network.img");
    run(ours(&["pxe", "network", "wrap", "-k"]).arg(lab.path("eth0.nmconnection")).arg("-o").arg(&network))?;
    let shown = run(theirs(&["pxe", "network", "unwrap"])?.arg(&network))?;
    assert_eq!(String::from_utf8(shown)?, format!("########## eth0.nmconnection ##########\n{KEYFILE}"));

    // A live system's initramfs by what is looked for in it; of a length that is no multiple of four.
    let mut archive = Archive::default();
    archive.insert("etc/coreos-live-initramfs", Vec::new());
    archive.insert("etc/coreos/features.json", *br#"{"live-initrd-network": true, "installer-config": true}"#);
    archive.insert("init", vec![b'x'; 3 << 20]);
    let base = [archive.encode(), vec![0; 8]].concat();
    fs::write(lab.path("base.img"), &base)?;
    let arguments = [
        "--live-ignition".to_owned(),
        lab.text("config.ign"),
        "--network-keyfile".to_owned(),
        lab.text("eth0.nmconnection"),
        lab.text("base.img"),
    ];
    let (one, two) = (lab.path("customized-one.img"), lab.path("customized-two.img"));
    run(ours(&["pxe", "customize"]).args(&arguments).arg("-o").arg(&one))?;
    run(theirs(&["pxe", "customize"])?.args(&arguments).arg("-o").arg(&two))?;
    let mut read_back = Vec::new();
    for image in [&one, &two] {
        assert!(read(image)?.starts_with(&base));
        assert_eq!(
            run(ours(&["pxe", "network", "unwrap"]).arg(image))?,
            run(theirs(&["pxe", "network", "unwrap"])?.arg(image))?
        );
        read_back.push(run(theirs(&["pxe", "ignition", "unwrap"])?.arg(image))?);
        let again = ours(&["pxe", "customize", "-o", "-"]).args(&arguments[..4]).arg(image).output()?;
        assert!(String::from_utf8_lossy(&again.stderr).contains("customized already"), "{again:?}");
    }
    assert_eq!(read_back[0], CONFIG.as_bytes());
    assert_eq!(merged(&read_back[1])?.0, [serde_json::from_str::<Value>(CONFIG)?]);
    let kernel = ours(&["pxe", "customize", "-o", "-"]).args(&arguments[..4]).arg(lab.path("config.ign")).output()?;
    assert!(String::from_utf8_lossy(&kernel.stderr).contains("not a cpio archive"), "{kernel:?}");
    Ok(())
}

/// A live ISO with a root file system of a gibibyte, which all commands pass through.
#[test]
fn memory_does_not_grow_with_the_image() -> Result<()> {
    let lab = Lab::new()?;
    let iso = lab.image("embed-areas-2023-07.x86_64")?;
    fs::File::options().write(true).open(&iso)?.set_len(1 << 30)?;
    let mut archive = Archive::default();
    archive.insert("etc/coreos-live-initramfs", Vec::new());
    fs::write(lab.path("initramfs.img"), archive.encode())?;
    fs::File::options().write(true).open(lab.path("initramfs.img"))?.set_len(1 << 30)?;
    let (iso, config, initramfs) = (iso.display().to_string(), lab.text("config.ign"), lab.text("initramfs.img"));
    for arguments in [
        vec!["iso", "customize", &iso, "--live-ignition", &config, "-o", "-"],
        vec!["iso", "embed", &iso, "-i", &config, "-o", "-"],
        vec!["pxe", "customize", &initramfs, "--live-ignition", &config, "-o", "-"],
    ] {
        let report = lab.path("memory");
        let mut command = Command::new("/usr/bin/time");
        command.args(["--format", "%M", "--output"]).arg(&report).arg(program("ferric-ignition")).args(&arguments);
        let status = command.stdout(fs::File::create("/dev/null")?).status()?;
        let peak_kib: u64 = fs::read_to_string(&report)?.trim().parse()?;
        assert!(status.success() && peak_kib < MEMORY_KIB, "{arguments:?}: {peak_kib} KiB");
    }
    Ok(())
}
