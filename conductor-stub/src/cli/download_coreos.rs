//! `conductor-stub download-coreos`: the artefacts of a CoreOS release, for machines to boot.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ferric_terminal::{Entry, Lines, Pace, Work};
use reqwest::{Certificate, Client};
use serde_json::{Map, Value, json};

use crate::coreos::agent::CoreosIpa;
use crate::coreos::folder::{self, ReleaseFolder};
use crate::coreos::stream::{self, KINDS, Kind, Release, RemoteFile};
use crate::media::transfer;
use crate::tls;

/// Stream metadata are some kilobytes.
const MAX_METADATA_BYTES: usize = 4 << 20;
const MAX_SIGNATURE_BYTES: usize = 64 << 10;
/// Limit of connecting and of each silence.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often progress is shown: on a terminal, and elsewhere.
const SHOWN_EVERY: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];

/// Downloads the files of a CoreOS stream, verifies them, and gives them the names that ipa-downloader uses. What is there
/// is kept, what is there in part is completed. Prints where the files are, as JSON.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Stream metadata: a URL, a file, or a stream of Fedora's: stable, testing, next.
    #[arg(long, default_value = "stable")]
    stream: String,
    /// Architecture of the machines.
    #[arg(long, env = "IPA_ARCH", default_value = "x86_64")]
    architecture: String,
    /// Folder for the files.
    #[arg(long, default_value = "/shared/html/images", value_name = "DIR")]
    directory: PathBuf,
    /// What to download: kernel, initramfs, rootfs, iso, metal, metal4k; may be given several times.
    #[arg(long = "artefact", value_name = "NAME", default_values = ["kernel", "initramfs", "rootfs", "iso"], value_parser = kind)]
    artefacts: Vec<Kind>,
    /// Certificate authorities (PEM) to believe besides the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Believe any certificate; the digests of the metadata are verified all the same.
    #[arg(long, env = "CURL_INSECURE")]
    insecure: bool,
}

fn kind(name: &str) -> Result<Kind, String> {
    let known = KINDS.map(|kind| kind.name).join(", ");
    KINDS.into_iter().find(|kind| kind.name == name).ok_or_else(|| format!("it is one of {known}"))
}

/// Runs the subcommand.
///
/// # Errors
/// When something cannot be had or is not what it should be; the current release stays the current one then.
pub async fn run(arguments: Arguments) -> Result<()> {
    let done = download(&arguments).await?;
    println!("{done}");
    Ok(())
}

async fn download(arguments: &Arguments) -> Result<Value> {
    let client = client(arguments)?;
    let metadata = match stream::location(&arguments.stream) {
        Some(url) => small(&client, &url, MAX_METADATA_BYTES).await?,
        None => std::fs::read(&arguments.stream).with_context(|| format!("stream metadata {}", arguments.stream))?,
    };
    let release = Release::parse(&metadata, &arguments.architecture, &arguments.artefacts)?;
    let folder = ReleaseFolder::create(&arguments.directory, &release)
        .with_context(|| format!("folder {}", arguments.directory.display()))?;
    let mut places = Map::new();
    for file in &release.files {
        let target = folder.file(&file.name);
        fetch(&client, file, &target).await?;
        places.insert(file.kind.to_owned(), target.display().to_string().into());
    }
    folder.switch(&release).context("links to the release")?;
    let Release { version, architecture, .. } = &release;
    Ok(json!({"release": version, "architecture": architecture, "files": Value::from(places)}))
}

/// Brings the live system that every node is to boot, when nothing of it is there. Without it the conductor starts all the
/// same: what a node lacks is said when it boots.
pub(super) async fn at_start(ipa: &CoreosIpa) {
    let Some(stream) = ipa.stream.clone().filter(|_| ipa.enabled) else { return };
    let architecture = std::env::var("IPA_ARCH").unwrap_or_else(|_| "x86_64".to_owned());
    if ["iso", "kernel"].iter().any(|kind| folder::current(&ipa.images, &architecture, kind).is_some()) {
        return;
    }
    tracing::info!(stream, images = %ipa.images.display(), "CoreOS is downloaded");
    let artefacts = KINDS.into_iter().filter(|kind| !kind.name.starts_with("metal")).collect();
    let insecure = std::env::var("CURL_INSECURE").is_ok_and(|value| value == "true");
    let arguments =
        Arguments { stream, architecture, directory: ipa.images.clone(), artefacts, ca: ipa.ca.clone(), insecure };
    if let Err(error) = download(&arguments).await {
        tracing::error!("CoreOS is not here: {error:#}");
    }
}

fn client(arguments: &Arguments) -> Result<Client> {
    tls::use_ring();
    let mut client = Client::builder().connect_timeout(TIMEOUT).read_timeout(TIMEOUT).referer(false);
    if let Some(path) = &arguments.ca {
        let pem = std::fs::read(path).with_context(|| path.display().to_string())?;
        for certificate in Certificate::from_pem_bundle(&pem).with_context(|| path.display().to_string())? {
            client = client.add_root_certificate(certificate);
        }
    }
    Ok(client.tls_danger_accept_invalid_certs(arguments.insecure).build()?)
}

async fn fetch(client: &Client, file: &RemoteFile, target: &Path) -> Result<()> {
    let mut shown = Shown::new(&file.name, file.kind);
    transfer::fetch(client, &file.url, &file.sha256, target, &mut |done, total| shown.at(done, total)).await?;
    shown.end();
    let Some(url) = &file.signature else { return Ok(()) };
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".sig");
    let path = target.with_file_name(name);
    // coreos-installer looks for it beside the image.
    if !path.exists() {
        let signature = small(client, url, MAX_SIGNATURE_BYTES).await?;
        std::fs::write(&path, signature).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// A document of at most so many bytes.
async fn small(client: &Client, url: &url::Url, limit: usize) -> Result<Vec<u8>> {
    let mut response = client.get(url.clone()).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        ensure!(body.len() <= limit, "{url} is longer than {limit} bytes");
    }
    if body.is_empty() {
        bail!("{url} is empty");
    }
    Ok(body)
}

/// How far a file is, on standard error: a line that changes on a terminal, else another one now and then.
struct Shown {
    work: Work,
    /// How fast; known when something has come.
    pace: Option<Pace>,
    lines: Option<Lines>,
    started: Instant,
    last: Instant,
}

impl Shown {
    fn new(name: &str, kind: &str) -> Self {
        let now = Instant::now();
        let lines = std::io::stderr().is_terminal().then(Lines::default);
        Self { work: Work::new(name, kind), pace: None, lines, started: now, last: now }
    }

    fn at(&mut self, done: u64, total: Option<u64>) {
        let (rate, eta_seconds) = self.pace.get_or_insert_with(|| Pace::from(done)).at(done, total);
        if self.last.elapsed() < SHOWN_EVERY[usize::from(self.lines.is_none())] {
            return;
        }
        self.last = Instant::now();
        self.work = Work { done, total, rate, eta_seconds, ..self.work.clone() };
        match &mut self.lines {
            Some(lines) => lines.draw(&[Entry::Work(self.work.clone())], false),
            None => say(&self.work.text()),
        }
    }

    fn end(mut self) {
        if let Some(lines) = &mut self.lines {
            lines.clear();
        }
        say(&format!("{}: verified, {:.1} s", self.work.name, self.started.elapsed().as_secs_f64()));
    }
}

fn say(line: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "{line}");
}
