//! An ISO of others with places for kernel arguments: the configuration of its boot loaders (GRUB, ISOLINUX, systemd-boot)
//! is written anew, in the ISO and in its EFI system partition; volume id, El Torito and partition tables stay.

use std::fs;
use std::path::Path;

use super::areas::{Place, PlaceError, Places};
use crate::program::{ProgramError, at, run};

/// A configuration is some kilobytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
const MAX_CONFIGS: usize = 256;
/// A partition's type.
const LINUX: &str = "0x83";

/// What cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RepackError {
    /// A program or file.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The places for kernel arguments.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// There is no room in its partition table.
    #[error("the ISO has four partitions already: there is no room for the config drive")]
    NoPartition,
    /// No boot loader that is known.
    #[error("no configuration of GRUB, ISOLINUX or systemd-boot that starts a kernel is in the ISO")]
    NoConfig,
}

/// Whose configuration a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loader {
    Grub,
    Isolinux,
    SystemdBoot,
}

impl Loader {
    /// By its path.
    fn of(path: &str) -> Option<Self> {
        let path = path.to_lowercase();
        let is_entry = path.contains("/loader/entries/") && path.ends_with(".conf");
        match () {
            () if is_entry => Some(Self::SystemdBoot),
            () if !path.ends_with(".cfg") => None,
            () if path.contains("/isolinux/") || path.contains("/syslinux/") => Some(Self::Isolinux),
            () if path.contains("/boot/") || path.contains("/grub") || path.starts_with("/efi/") => Some(Self::Grub),
            () => None,
        }
    }

    /// The configuration with places; nothing when no kernel is started there.
    fn with_places(self, text: &str, places: &mut Places) -> Option<String> {
        let before = places.count();
        let lines: Vec<String> = match self {
            // A line may go on in the next one.
            Self::Grub => text.replace("\\\n", " ").lines().map(|line| grub_line(line, places)).collect(),
            Self::Isolinux => isolinux(text, places),
            Self::SystemdBoot => systemd_boot(text, places),
        };
        (places.count() > before).then(|| lines.join("\n") + "\n")
    }
}

/// `linux KERNEL ARGUMENTS`: what ends the arguments stands behind the place.
fn grub_line(line: &str, places: &mut Places) -> String {
    let mut words = line.split_whitespace();
    let is_start = matches!(words.next(), Some("linux" | "linuxefi" | "linux16" | "$linux" | "${linux}"));
    if !is_start || words.next().is_none() {
        return line.to_owned();
    }
    let (head, tail) = split_tail(line);
    format!("{head} {}", places.leave(tail))
}

/// Where the arguments for the installed system begin (`---`), or the line holds more than one command.
fn split_tail(line: &str) -> (&str, &str) {
    let ends = |word: &str| matches!(word, "---" | "--" | ";" | "}");
    let mut position = 0;
    for word in line.split(' ') {
        if ends(word) {
            return (line[..position].trim_end(), &line[position..]);
        }
        if let Some(end) = word.strip_suffix(';') {
            return (&line[..position + end.len()], &line[position + end.len()..]);
        }
        position += word.len() + 1;
    }
    (line.trim_end(), "")
}

/// `append ARGUMENTS` below `kernel` or `linux`; where there is none, one is added.
fn isolinux(text: &str, places: &mut Places) -> Vec<String> {
    let keyword = |line: &str| line.split_whitespace().next().unwrap_or_default().to_lowercase();
    let is_module = |line: &str| {
        let file = line.split_whitespace().nth(1).unwrap_or_default().to_lowercase();
        [".c32", ".0", ".bin", ".bss", ".bs", ".com", ".cbt", ".img"].iter().any(|suffix| file.ends_with(suffix))
    };
    let mut lines: Vec<String> = Vec::new();
    // The line of a kernel that has no `append` yet.
    let mut pending: Option<usize> = None;
    let mut is_kernel = false;
    let close = |lines: &mut Vec<String>, pending: &mut Option<usize>, places: &mut Places| {
        if let Some(number) = pending.take() {
            lines.insert(number + 1, format!("  append {}", places.leave("")));
        }
    };
    for line in text.lines() {
        match keyword(line).as_str() {
            "label" => {
                close(&mut lines, &mut pending, places);
                is_kernel = false;
                lines.push(line.to_owned());
            }
            "kernel" | "linux" => {
                close(&mut lines, &mut pending, places);
                is_kernel = !is_module(line);
                lines.push(line.to_owned());
                pending = is_kernel.then(|| lines.len() - 1);
            }
            "append" if is_kernel => {
                pending = None;
                let (head, tail) = split_tail(line);
                lines.push(format!("{head} {}", places.leave(tail)));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    close(&mut lines, &mut pending, places);
    lines
}

/// `options ARGUMENTS` of an entry with a kernel; where there is none, one is added.
fn systemd_boot(text: &str, places: &mut Places) -> Vec<String> {
    let keyword = |line: &str| line.split_whitespace().next().unwrap_or_default().to_lowercase();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if !lines.iter().any(|line| matches!(keyword(line).as_str(), "linux" | "efi")) {
        return lines;
    }
    match lines.iter().rposition(|line| keyword(line) == "options") {
        Some(number) => lines[number] = format!("{} {}", lines[number].trim_end(), places.leave("")),
        None => lines.push(format!("options {}", places.leave(""))),
    }
    lines
}

/// Writes `to`, the ISO `from` with places for kernel arguments, and tells where they are; `drive` becomes a partition of its own.
///
/// # Errors
/// When nothing starts a kernel there that is known, or a program refuses.
pub fn repack(from: &Path, to: &Path, drive: Option<&Path>) -> Result<Vec<Place>, RepackError> {
    let work = tempfile::tempdir_in(to.parent().unwrap_or(Path::new("."))).map_err(at(to))?;
    let (input, output) = (from.display().to_string(), to.display().to_string());
    let mut places = Places::default();
    let mut maps = Vec::new();
    for (number, path) in files(&input)?.into_iter().enumerate() {
        let Some(loader) = Loader::of(&path) else { continue };
        let file = work.path().join(number.to_string());
        let name = file.display().to_string();
        run("xorriso", "xorriso", &["-osirrox", "on", "-indev", &input, "-extract", &path, &name])?;
        let Some(text) = read(&file)? else { continue };
        let Some(changed) = loader.with_places(&text, &mut places) else { continue };
        // What was extracted is read-only where it was so in the ISO.
        fs::remove_file(&file).map_err(at(&file))?;
        fs::write(&file, changed).map_err(at(&file))?;
        maps.extend(["-map".to_owned(), name, path]);
        if maps.len() / 3 >= MAX_CONFIGS {
            break;
        }
    }
    if maps.is_empty() && drive.is_none() {
        fs::copy(from, to).map_err(at(to))?;
    } else {
        let mut arguments: Vec<String> =
            ["-indev", &input, "-outdev", &output, "-boot_image", "any", "replay"].map(str::to_owned).to_vec();
        // grub-mkrescue writes HFS+, too, for old Macs; xorriso 1.5.4 cannot write its partition beside those of a GPT again.
        arguments.extend(["-hfsplus", "off"].map(str::to_owned));
        arguments.extend(maps);
        if let Some(drive) = drive {
            let number = free_partition(&input)?.to_string();
            arguments.extend(["-append_partition".into(), number, LINUX.into(), drive.display().to_string()]);
        }
        arguments.push("-commit".into());
        run("xorriso", "xorriso", &arguments)?;
    }
    for offset in system_partitions(&output)? {
        patch_partition(&output, offset, work.path(), &mut places)?;
    }
    if places.count() == 0 && drive.is_none() {
        return Err(RepackError::NoConfig);
    }
    Ok(places.find(to)?)
}

/// The paths of all files of an ISO that have no strange characters.
fn files(iso: &str) -> Result<Vec<String>, ProgramError> {
    let listed = run("xorriso", "xorriso", &["-indev", iso, "-find", "/", "-type", "f"])?;
    let path = |line: &str| Some(line.trim().strip_prefix('\'')?.strip_suffix('\'')?.to_owned());
    Ok(listed.lines().filter_map(path).filter(|path| path.starts_with('/') && !path.contains('\'')).collect())
}

/// The number behind those of its partitions, of which an ISO has four at most. What only fills a gap or protects a GPT is none.
fn free_partition(iso: &str) -> Result<u32, RepackError> {
    let report = run("xorriso", "xorriso", &["-indev", iso, "-report_system_area", "plain"])?;
    let last = last_partition(&report);
    if last < 4 { Ok(last + 1) } else { Err(RepackError::NoPartition) }
}

fn last_partition(report: &str) -> u32 {
    let lines = |wanted: &'static str| {
        report.lines().filter_map(move |line| {
            let (name, columns) = line.split_once(" : ")?;
            let columns: Vec<&str> = columns.split_whitespace().collect();
            let number: u32 = columns.first().filter(|_| name.trim() == wanted)?.parse().ok()?;
            Some((number, columns))
        })
    };
    let gaps: Vec<u32> = lines("GPT partname local")
        .filter(|(_, columns)| columns.get(1).is_some_and(|name| name.starts_with("Gap")))
        .map(|(number, _)| number)
        .collect();
    let of_mbr = lines("MBR partition").filter(|(_, columns)| columns.get(2).is_none_or(|kind| *kind != "0xee"));
    let of_gpt = lines("GPT start and size").filter(|(number, _)| !gaps.contains(number));
    of_mbr.chain(of_gpt).map(|(number, _)| number).max().unwrap_or(0)
}

fn read(file: &Path) -> Result<Option<String>, ProgramError> {
    if file.metadata().map_err(at(file))?.len() > MAX_CONFIG_BYTES {
        return Ok(None);
    }
    Ok(String::from_utf8(fs::read(file).map_err(at(file))?).ok())
}

/// Where the EFI system partitions are that UEFI boots from: by the El Torito catalogue, in blocks of 2048 bytes.
fn system_partitions(iso: &str) -> Result<Vec<u64>, ProgramError> {
    let report = run("xorriso", "xorriso", &["-indev", iso, "-report_el_torito", "plain"])?;
    let offset = |line: &str| {
        let (_, columns) = line.split_once("El Torito boot img :")?;
        let columns: Vec<&str> = columns.split_whitespace().collect();
        let is_uefi = columns.get(1).is_some_and(|platform| *platform == "UEFI");
        columns.last().filter(|_| is_uefi)?.parse::<u64>().ok().map(|block| block * 2048)
    };
    Ok(report.lines().filter_map(offset).collect())
}

/// The same in a FAT file system, in place.
fn patch_partition(iso: &str, offset: u64, work: &Path, places: &mut Places) -> Result<(), ProgramError> {
    let image = format!("{iso}@@{offset}");
    // What is no FAT has no configuration of ours to change.
    let Ok(listed) = run("mdir", "mtools", &["-i", &image, "-/", "-b", "::/"]) else { return Ok(()) };
    for path in listed.lines().map(str::trim).filter_map(|line| line.strip_prefix("::")) {
        let Some(loader) = Loader::of(path) else { continue };
        let file = work.join("in-partition");
        let (name, there) = (file.display().to_string(), format!("::{path}"));
        run("mcopy", "mtools", &["-o", "-n", "-i", &image, &there, &name])?;
        let Some(text) = read(&file)? else { continue };
        let Some(changed) = loader.with_places(&text, places) else { continue };
        fs::write(&file, changed).map_err(at(&file))?;
        run("mcopy", "mtools", &["-o", "-i", &image, &name, &there])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines without what fills places up.
    fn shown(loader: Loader, text: &str) -> Vec<String> {
        let changed = loader.with_places(text, &mut Places::default()).unwrap_or_else(|| text.to_owned());
        changed.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn configurations_are_known_by_their_paths() {
        for (path, loader) in [
            ("/boot/grub/grub.cfg", Some(Loader::Grub)),
            ("/EFI/BOOT/grub.cfg", Some(Loader::Grub)),
            ("/boot/grub2/loopback.cfg", Some(Loader::Grub)),
            ("/isolinux/txt.cfg", Some(Loader::Isolinux)),
            ("/boot/syslinux/syslinux.cfg", Some(Loader::Isolinux)),
            ("/loader/entries/live.conf", Some(Loader::SystemdBoot)),
            ("/loader/loader.conf", None),
            ("/etc/app.cfg", None),
            ("/boot/vmlinuz", None),
        ] {
            assert_eq!(Loader::of(path), loader, "{path}");
        }
    }

    #[test]
    fn places_stand_in_front_of_what_ends_the_arguments() {
        let mut places = Places::default();
        let lines = grub_line("\tlinux /install/vmlinuz vga=788 --- quiet", &mut places);
        assert!(lines.starts_with("\tlinux /install/vmlinuz vga=788 --- quiet\n#"), "{lines}");
        assert_eq!(split_tail("linux /a b ; initrd /c ; }"), ("linux /a b", "; initrd /c ; }"));
        assert_eq!(split_tail("linux /a b; initrd /c"), ("linux /a b", "; initrd /c"));
        assert_eq!(split_tail("append a=--- b"), ("append a=--- b", ""));
        for line in ["linux", "initrd /a", "# linux /a b", "menuentry 'linux /a' {"] {
            assert_eq!(grub_line(line, &mut Places::default()), line);
        }
    }

    #[test]
    fn what_only_fills_a_gap_is_no_partition() {
        let report = "MBR partition      :   1   0x00  0xee            1         4987\n\
            GPT partname local :   1  ISO9660\nGPT start and size :   1  64  164\n\
            GPT partname local :   2  Appended2\nGPT start and size :   2  228  4096\n\
            GPT partname local :   3  Gap1\nGPT start and size :   3  4324  600\n";
        assert_eq!(last_partition(report), 2);
        assert_eq!(last_partition("MBR partition      :   1   0x80  0x00            0         4984\n"), 1);
        assert_eq!(last_partition(""), 0);
    }

    #[test]
    fn isolinux_gets_a_place_for_every_kernel() {
        let text = "default vesamenu.c32\nlabel live\n  kernel /live/vmlinuz\n  append initrd=/i --- quiet\nlabel bare\n  linux /b\nlabel test\n  kernel mt86.bin\n  append x\n";
        let lines = shown(Loader::Isolinux, text);
        assert_eq!(
            lines,
            [
                "default vesamenu.c32",
                "label live",
                "  kernel /live/vmlinuz",
                "  append initrd=/i --- quiet",
                "label bare",
                "  linux /b",
                "  append",
                "label test",
                "  kernel mt86.bin",
                "  append x",
            ]
        );
        let mut places = Places::default();
        Loader::Isolinux.with_places(text, &mut places).unwrap();
        assert_eq!(places.count(), 2);
    }

    #[test]
    fn systemd_boot_gets_a_place_in_every_entry_with_a_kernel() {
        assert_eq!(
            shown(Loader::SystemdBoot, "title x\nlinux /v\noptions a b\n"),
            ["title x", "linux /v", "options a b"]
        );
        assert_eq!(shown(Loader::SystemdBoot, "linux /v\n"), ["linux /v", "options"]);
        assert!(Loader::SystemdBoot.with_places("title x\n", &mut Places::default()).is_none());
    }
}
