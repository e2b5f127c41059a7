//! What is refused by its first bytes: files that are no disk, and disks that do not fit. By the step and by the command,
//! as they are and behind compression, and always before the disk is touched.

use std::path::Path;
use std::process::Command;

use ferric_steps::ErrorKind;
use ferric_tests::image::{Packing, State, bootable, state, used_disk};
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::process::program;
use serde_json::{Value, json};

use super::command::run;
use super::write_image::{deploy_in, step, tool};

const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 24 * MIB;

/// A directory in which `script` has made files, with an image `disk.raw` of 8 MiB beside them.
fn files(script: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("disk.raw"), bootable(8 << 20)).unwrap();
    let output = Command::new("bash").args(["-ec", script]).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directory
}

fn info(path: &Path, format: &str) -> Value {
    let digest = tool("sha256sum", &[path.to_str().unwrap()]);
    json!({"id": "image", "urls": [format!("file://{}", path.display())], "disk_format": format,
           "os_hash_algo": "sha256", "os_hash_value": digest.split(' ').next().unwrap()})
}

/// Both ways to write the file are refused with a text that says `expected`, and nothing was written.
fn refused(path: &Path, disk: &LoopDevice, expected: &str) {
    let check = |by: &str, text: &str| {
        let file = path.file_name().unwrap().display();
        assert!(text.contains(expected), "{file} by {by}: {text}");
        assert_eq!(state(disk, &bootable(1 << 20)).unwrap(), State::Untouched, "{file} by {by}: {text}");
    };
    let output =
        run(&mut Command::new(program("ferric-agent")), disk, &["--url", path.to_str().unwrap(), "--no-checksum"]);
    let text = String::from_utf8_lossy(&output.stderr);
    check("the command", &text);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for format in ["raw", "unknown"] {
        let error = deploy_in(&step(disk), info(path, format), None).unwrap_err();
        check(&format!("the step, as {format}"), &error.to_string());
        assert!(matches!(error.kind, ErrorKind::InvalidImage | ErrorKind::Deployment), "{error:?}");
    }
}

#[test]
fn files_that_are_no_disk_are_called_what_they_are() {
    // Made by the programs that make them, where the tests have those.
    let made = files(
        "tar cf a.tar disk.raw; gzip -1 <a.tar >b.tar.gz; xz -0 <a.tar >c.tar.xz; zstd -q -1 <a.tar >d.tar.zst
         bzip2 -1 <a.tar >e.tar.bz2; python3 -m zipfile -c f.zip disk.raw
         echo a.tar | cpio -o -H newc >g.cpio 2>/dev/null; gzip -1 <g.cpio >h.img
         ar q i.a disk.raw 2>/dev/null; echo 2.0 >debian-binary; ar q j.deb debian-binary 2>/dev/null
         cp /bin/true k; sha256sum disk.raw >l.sha256; md5sum disk.raw | cut -c1-32 >m.md5
         echo '{\"ignition\":{\"version\":\"3.4.0\"}}' >n.ign; echo '<!DOCTYPE html><html>' >o.html
         echo '<?xml version=\"1.0\"?><bmap/>' >p.bmap; printf '%%PDF-1.7\\n%%\\xe2\\xe3\\xcf\\xd3\\n' >q.pdf
         gzip -1 <disk.raw | zstd -q -1 >r.raw.gz.zst; mkdir s; mksquashfs s s.squashfs -quiet >/dev/null 2>&1
         printf '\\xed\\xab\\xee\\xdb\\x03\\0\\0\\0' >t.rpm; head -c 9000 /dev/zero >>t.rpm
         printf '\\x04\\x22\\x4d\\x18\\x64\\x40\\xa7' >u.lz4; head -c 9000 /dev/zero >>u.lz4
         echo 'version https://git-lfs.github.com/spec/v1' >v.raw; echo '404 page not found' >w.raw
         gzip -1 <n.ign >x.ign.gz; bzip2 -1 <l.sha256 >y.bz2; xz -0 <w.raw >z.xz",
    );
    for (name, expected) in [
        ("a.tar", "a tar archive"),
        ("b.tar.gz", "a tar archive"),
        ("c.tar.xz", "a tar archive"),
        ("d.tar.zst", "a tar archive"),
        ("e.tar.bz2", "a tar archive"),
        ("f.zip", "a zip archive"),
        ("g.cpio", "a cpio archive"),
        ("h.img", "a cpio archive"),
        ("i.a", "an ar archive"),
        ("j.deb", "a deb package"),
        ("k", "a program (ELF)"),
        ("l.sha256", "a checksum file"),
        ("m.md5", "a checksum file"),
        ("n.ign", "an Ignition configuration"),
        ("o.html", "a web page (HTML)"),
        ("p.bmap", "an XML document"),
        ("q.pdf", "a PDF document"),
        ("r.raw.gz.zst", "compressed twice, with gzip inside"),
        ("s.squashfs", "a squashfs file system"),
        ("t.rpm", "an rpm package"),
        ("u.lz4", "compressed with lz4"),
        ("v.raw", "a Git LFS pointer"),
        ("w.raw", "a text"),
        ("x.ign.gz", "an Ignition configuration"),
        ("y.bz2", "a checksum file"),
        ("z.xz", "a text"),
    ] {
        let disk = used_disk(DISK_BYTES).unwrap();
        refused(&made.path().join(name), &disk, &format!("The image is no disk image: it is {expected}"));
    }
}

/// A GPT image of 16 MiB for disks with sectors of that size, with a partition from 1 MiB to its end.
fn gpt(directory: &Path, sector_bytes: u32) -> std::path::PathBuf {
    let disk = LoopDevice::with_block_size(16 * MIB, sector_bytes).unwrap();
    let first = MIB / u64::from(sector_bytes);
    tool("sgdisk", &["-n", &format!("1:{first}:0"), disk.path().to_str().unwrap()]);
    let path = directory.join(format!("gpt-{sector_bytes}.raw"));
    std::fs::copy(disk.file(), &path).unwrap();
    path
}

#[test]
fn a_table_that_fits_no_sector_or_place_of_the_disk_is_found_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let raw = [512, 4096].map(|sector| gpt(directory.path(), sector));
    let packed = |path: &Path, packing: Packing| {
        let target = path.with_extension(format!("{packing:?}"));
        std::fs::write(&target, packing.pack(&std::fs::read(path).unwrap()).unwrap()).unwrap();
        target
    };
    for (path, disk_sector, image_sector) in [(&raw[0], 4096, 512), (&raw[1], 512, 4096)] {
        let expected = format!("for disks with sectors of {image_sector} bytes");
        let disk = || {
            let disk = LoopDevice::with_block_size(DISK_BYTES, disk_sector).unwrap();
            ferric_tests::image::fill_with_old(&disk).unwrap();
            disk
        };
        refused(path, &disk(), &expected);
        refused(&packed(path, Packing::Zstd), &disk(), &expected);
        // The first bytes of the disk in a qcow2 image are found by its tables.
        for packing in [Packing::Qcow2, Packing::PackedQcow2] {
            let (path, disk) = (packed(path, packing), disk());
            let error = deploy_in(&step(&disk), info(&path, "qcow2"), None).unwrap_err();
            assert!(error.to_string().contains(&expected), "{packing:?}: {error}");
            assert_eq!(state(&disk, &bootable(1 << 20)).unwrap(), State::Untouched, "{packing:?}");
        }
    }

    let content = std::fs::read(&raw[0]).unwrap();
    let with = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = directory.path().join(name);
        let mut content = content.clone();
        change(&mut content);
        std::fs::write(&path, content).unwrap();
        path
    };
    let cut = with("cut", &|content| content.truncate(12 << 20));
    refused(&cut, &used_disk(DISK_BYTES).unwrap(), "cut short: partition 1 reaches to byte");
    let short = used_disk(12 * MIB).unwrap();
    refused(&cut, &short, "cut short: partition 1 reaches to byte");
    refused(&packed(&cut, Packing::Zstd), &short, "partition 1 reaches to byte");
    for (name, at) in [("entries", 1024), ("header", 512 + 60), ("signature", 512)] {
        let damaged = with(name, &|content| content[at] ^= 1);
        // As large as the image, and larger: the backup at the image's end makes no difference.
        for size in [16 * MIB, DISK_BYTES] {
            refused(&damaged, &used_disk(size).unwrap(), "The image is damaged");
        }
    }
    // A compressed file says only at its end that it was cut: then nothing can boot.
    let disk = used_disk(DISK_BYTES).unwrap();
    let error = deploy_in(&step(&disk), info(&packed(&cut, Packing::Gzip), "raw"), None).unwrap_err();
    assert!(error.to_string().contains("cut short"), "{error}");
    assert_eq!(state(&disk, &bootable(1 << 20)).unwrap(), State::Wiped);
}

#[test]
fn what_was_not_declared_is_written_only_when_its_format_is_permitted() {
    let made = files("qemu-img convert -O qcow2 disk.raw a.qcow2; qemu-img convert -O vmdk disk.raw b.vmdk");
    let disk = used_disk(DISK_BYTES).unwrap();
    let attempt = |name: &str, format: &str, permitted: &[&str]| {
        let mut step = step(&disk);
        let options = std::sync::Arc::make_mut(&mut step.site.options);
        options.image.permitted_formats = permitted.iter().map(ToString::to_string).collect();
        deploy_in(&step, info(&made.path().join(name), format), None).unwrap_err().to_string()
    };
    let forbidden = "Detected image format was";
    for (name, format, permitted, expected) in [
        ("a.qcow2", "unknown", &["raw", "gpt"][..], forbidden),
        ("a.qcow2", "qcow2", &["raw", "gpt"], forbidden),
        ("disk.raw", "unknown", &["raw", "qcow2"], forbidden),
        ("disk.raw", "gpt", &["raw", "qcow2"], forbidden),
        ("b.vmdk", "unknown", &["raw", "gpt", "qcow2"], forbidden),
        ("b.vmdk", "vmdk", &["raw", "gpt", "qcow2"], forbidden),
        ("b.vmdk", "unknown", &["raw", "vmdk"], "has to be converted"),
        ("b.vmdk", "vmdk", &["raw", "vmdk"], "have to be converted"),
    ] {
        let error = attempt(name, format, permitted);
        assert!(error.contains(expected), "{name} as {format}: {error}");
        assert_eq!(state(&disk, &bootable(1 << 20)).unwrap(), State::Untouched, "{name} as {format}");
    }
}

#[test]
fn what_an_iso_makes_of_a_disk_is_said() {
    let made = files(
        "mkdir tree && echo hello >tree/file && genisoimage -quiet -o plain.iso tree
         mkdir -p boot/boot/grub && echo 'echo hello' >boot/boot/grub/grub.cfg && grub-mkrescue -o hybrid.iso boot 2>/dev/null",
    );
    let iso = |name: &str| made.path().join(name).to_str().unwrap().to_string();
    for (name, refusal, remark) in [
        (
            "hybrid.iso",
            "declared raw (disk_format, --format raw), it is written as it is",
            "starts what a stick with it starts",
        ),
        ("plain.iso", "an ISO without a partition table", "firmware starts nothing from a disk with it"),
    ] {
        let disk = used_disk(64 * MIB).unwrap();
        let write = |more: &[&str]| {
            let url = iso(name);
            run(&mut Command::new(program("ferric-agent")), &disk, &[&["--url", &url, "--no-checksum"], more].concat())
        };
        let refused = write(&[]);
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && text.contains(refusal), "{name}: {text}");
        assert_eq!(state(&disk, &bootable(1 << 20)).unwrap(), State::Untouched, "{name}");
        let written = write(&["--format", "raw"]);
        let text = String::from_utf8_lossy(&[&written.stdout[..], &written.stderr].concat()).into_owned();
        assert!(written.status.success() && text.contains(remark), "{name}: {text}");
        let image = std::fs::read(iso(name)).unwrap();
        // The backup of its table moves to the disk's end; files stay where they are.
        assert_eq!(disk.read().unwrap()[0x8000..0x10000], image[0x8000..0x10000], "{name}");
    }
}
