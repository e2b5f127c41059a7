//! The logs of this machine as one archive, for the conductor to keep.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferric_hardware::processes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::site::Site;
use crate::url_secrets;
use crate::{ErrorKind, StepError};

/// How long one program may take; the conductor waits 60 s for everything.
const LIMIT: Duration = Duration::from_secs(20);
/// A journal of the host root that is shorter holds nothing but complaints.
const SHORTEST_JOURNAL_BYTES: usize = 50;
/// Of a longer file the end is kept: bodies of inspection over 16 MiB are refused.
const FILE_LIMIT_BYTES: u64 = 8 << 20;

/// Name in the archive, program, arguments.
const PROGRAMS: [(&str, &str, &[&str]); 11] = [
    ("df", "df", &["-a"]),
    ("dmesg", "dmesg", &[]),
    ("efibootmgr", "efibootmgr", &["-v"]),
    ("iptables", "iptables", &["-L"]),
    ("ip_addr", "ip", &["addr"]),
    ("lsblk", "lsblk", &["--all", "-o", "KNAME,MODEL,SIZE,ROTA,TYPE,UUID,PARTUUID,SERIAL,WWN,MOUNTPOINT,TRAN,LABEL"]),
    ("lsblk-full", "lsblk", &["--all", "--bytes", "--output-all", "--pairs"]),
    ("lshw", "lshw", &["-quiet", "-json"]),
    ("mount", "mount", &[]),
    ("multipath", "multipath", &["-ll"]),
    ("parted", "parted", &["-l", "-s"]),
];

/// What to collect.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// At most this many lines of the journal; all when not set.
    pub journal_lines: Option<u32>,
    /// Texts to replace by `<...>` wherever they stand (the agent token…). Passwords in URLs always are.
    pub secrets: Vec<String>,
}

/// Collects journal, hardware state and configured log files: base64 (without line breaks) of a gzip tar. What cannot
/// be had is left out.
///
/// # Errors
/// When the archive cannot be built.
pub fn collect(request: &Request, site: &Site) -> Result<String, StepError> {
    let mut members = Vec::new();
    let journal = journal(request, site);
    let has_journal = journal.is_some();
    members.extend(journal.map(|text| ("journal".to_string(), text)));
    members.extend(processes::table().ok().map(|text| ("ps".to_string(), text.into_bytes())));
    members.extend(programs(site));
    let mdstat = std::fs::read(site.machine.path("/proc/mdstat")).ok();
    members.extend(mdstat.map(|text| ("mdstat".to_string(), text)));
    members.extend(udev(site));
    if !has_journal {
        members.extend(files_below(site, Path::new("/var/log")));
    }
    let logs = &site.options.logs;
    for path in [&logs.file, &logs.directory].into_iter().flatten() {
        members.extend(files_below(site, path));
    }
    archive(members, &request.secrets)
        .map(|bytes| STANDARD.encode(bytes))
        .map_err(|error| ErrorKind::Execution.error("cannot pack the system logs").because(error))
}

fn journal(request: &Request, site: &Site) -> Option<Vec<u8>> {
    let tool = site.tools.find("journalctl").ok()?;
    let mut run = tool.run(["--full", "--no-pager", "-b"]).timeout(LIMIT);
    if let Some(lines) = request.journal_lines {
        run = run.arg("-n").arg(lines.to_string());
    }
    let text = run.output().ok()?.stdout;
    (text.len() >= SHORTEST_JOURNAL_BYTES).then_some(text)
}

/// Runs all programs side by side.
fn programs(site: &Site) -> Vec<(String, Vec<u8>)> {
    let tools = &site.tools;
    std::thread::scope(|scope| {
        let running: Vec<_> = PROGRAMS
            .iter()
            .map(|(name, program, arguments)| {
                let run = move || tools.find(program)?.run(arguments.iter().copied()).timeout(LIMIT).output();
                (name, scope.spawn(run))
            })
            .collect();
        let ended = running.into_iter().filter_map(|(name, thread)| Some((name, thread.join().ok()?.ok()?)));
        ended.map(|(name, output)| (name.to_string(), output.stdout)).collect()
    })
}

/// The properties that udev keeps of each block device, `udev/<kernel name>` as JSON.
fn udev(site: &Site) -> Vec<(String, Vec<u8>)> {
    let Ok(devices) = std::fs::read_dir(site.machine.path("/sys/class/block")) else { return Vec::new() };
    let member = |name: String| {
        let number = site.machine.read(format!("/sys/class/block/{name}/dev"))?;
        let database = site.machine.read(format!("/run/udev/data/b{number}"))?;
        let properties: serde_json::Map<String, serde_json::Value> = database
            .lines()
            .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
            .map(|(key, value)| (key.to_string(), value.into()))
            .collect();
        Some((format!("udev/{name}"), serde_json::Value::Object(properties).to_string().into_bytes()))
    };
    devices.flatten().filter_map(|device| member(device.file_name().to_string_lossy().into_owned())).collect()
}

/// A file, or all regular files of a directory tree, named by path without the leading slash.
fn files_below(site: &Site, path: &Path) -> Vec<(String, Vec<u8>)> {
    let real = site.machine.path(path);
    let Ok(meta) = real.symlink_metadata() else { return Vec::new() };
    if meta.is_dir() {
        let Ok(entries) = std::fs::read_dir(&real) else { return Vec::new() };
        return entries.flatten().flat_map(|entry| files_below(site, &path.join(entry.file_name()))).collect();
    }
    if !meta.is_file() {
        return Vec::new();
    }
    let name = path.strip_prefix("/").unwrap_or(path).display().to_string();
    end_of(&real).map(|text| vec![(name, text)]).unwrap_or_default()
}

/// A file, or its end after a line that says how much is left out.
fn end_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let left_out = file.metadata()?.len().saturating_sub(FILE_LIMIT_BYTES);
    let mut text = Vec::new();
    if left_out > 0 {
        text.extend(format!("[the first {left_out} bytes are left out]\n").into_bytes());
        file.seek(SeekFrom::Start(left_out))?;
    }
    file.take(FILE_LIMIT_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

fn archive(members: Vec<(String, Vec<u8>)>, secrets: &[String]) -> std::io::Result<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, content) in members {
        let content = masked(&content, secrets);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(now);
        tar.append_data(&mut header, name, content.as_slice())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

/// Replaces the secrets, also those of URLs.
fn masked(content: &[u8], secrets: &[String]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(content).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "<...>");
    }
    url_secrets::hide(&text).into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use ferric_hardware::machine::Machine;
    use ferric_hardware::tool::Tools;

    use super::*;
    use crate::options::Options;

    fn script(directory: &Path, name: &str, body: &str) {
        let path = directory.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn site(root: &Path) -> Site {
        let mut options = Options::default();
        options.logs.file = Some("/var/agent.log".into());
        let site = Site::new(Machine::at(root), options);
        Site { tools: Tools::in_directories([root.to_path_buf()], None), ..site }
    }

    fn unpack(text: &str) -> BTreeMap<String, String> {
        let bytes = STANDARD.decode(text).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        });
        entries.collect()
    }

    #[test]
    fn what_works_is_packed_and_what_fails_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        script(root.path(), "journalctl", "echo \"journal of $* with the token s3cret and http://u:pw@host/x\"");
        script(root.path(), "df", "echo disks");
        script(root.path(), "lshw", "exit 1");
        std::fs::create_dir_all(root.path().join("var")).unwrap();
        std::fs::write(root.path().join("var/agent.log"), "started\n").unwrap();
        let request = Request { journal_lines: Some(7), secrets: vec!["s3cret".into()] };
        let members = unpack(&collect(&request, &site(root.path())).unwrap());
        assert_eq!(
            members["journal"],
            "journal of --full --no-pager -b -n 7 with the token <...> and http://<...>@host/x\n"
        );
        assert_eq!(members["df"], "disks\n");
        assert!(members["ps"].contains("PID"), "{}", members["ps"]);
        assert_eq!(members["var/agent.log"], "started\n");
        assert!(!members.contains_key("lshw"));
    }

    #[test]
    fn of_a_long_log_the_end_is_packed_and_says_so() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("var")).unwrap();
        let log = format!("{}the end\n", "a line\n".repeat(FILE_LIMIT_BYTES as usize / 7 + 10));
        std::fs::write(root.path().join("var/agent.log"), &log).unwrap();
        let members = unpack(&collect(&Request::default(), &site(root.path())).unwrap());
        let left_out = log.len() as u64 - FILE_LIMIT_BYTES;
        let packed = &members["var/agent.log"];
        assert!(packed.starts_with(&format!("[the first {left_out} bytes are left out]\n")), "{}", &packed[..100]);
        assert!(packed.ends_with("a line\nthe end\n"));
    }

    #[test]
    fn without_a_journal_the_log_directory_is_packed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("var/log/app")).unwrap();
        std::fs::write(root.path().join("var/log/app/one.log"), "line\n").unwrap();
        let members = unpack(&collect(&Request::default(), &site(root.path())).unwrap());
        assert_eq!(members["var/log/app/one.log"], "line\n");
    }
}
