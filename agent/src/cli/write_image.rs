//! `ferric-agent write-image`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use clap::error::ErrorKind;
use ferric_hardware::block::{self, DevicePolicy, EligibleDevice};
use ferric_hardware::machine::Machine;
use ferric_hardware::units::Bytes;
use ferric_steps::deploy::adopt::adopt;
use ferric_steps::error::chain;
use ferric_steps::http::document::{RetryContext, document};
use ferric_steps::http::{Headers, HttpOptions, Limit};
use ferric_steps::image::checksum::{self, FileName};
use ferric_steps::image::{self, Decoded, Digest, FormatChoice, Location, Verify, WriteRequest, WriteSummary, oci};
use ferric_steps::progress::Progress;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::confirmation::Confirmation;
use super::display::{self, Style};
use super::print;
use super::servers::ServerArguments;

/// A checksum file is a few lines; servers that send more are not serving one.
const CHECKSUM_FILE_LIMIT: Limit = Limit::bytes(1 << 20);

/// Arguments of `write-image`.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("digest").args(["checksum", "checksum_url", "no_checksum"]))]
pub struct Arguments {
    /// Make this the only block device that exists (repeatable); admits loop devices
    #[arg(long, value_name = "DEV")]
    pub allow_device: Vec<PathBuf>,
    /// The block device to write to
    #[arg(long, value_name = "DEV")]
    pub device: PathBuf,
    /// Where the image is: http, https, file URL or a path; or, in a registry, oci://registry/name:tag or
    /// oci://registry/name@digest. User and password may be part of the URL (https://user:password@host/image), but see
    /// --headers-file
    #[arg(long, value_name = "URL|PATH")]
    pub url: String,
    /// The expected digest of the image as downloaded; one of these three is needed, except for oci://, where the registry has it
    #[arg(long, value_name = "ALGO:HEX")]
    pub checksum: Option<String>,
    /// The file that the expected digest is in
    #[arg(long, value_name = "URL|PATH")]
    pub checksum_url: Option<String>,
    /// Write without verifying
    #[arg(long)]
    pub no_checksum: bool,
    /// Also the digest of the image behind its compression: to be reported (ALGO), or to be the expected one (ALGO:HEX)
    #[arg(long, value_name = "ALGO[:HEX]", value_parser = str::parse::<Decoded>)]
    pub decoded_checksum: Option<Decoded>,
    /// Format of the image
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = ["auto", "raw", "qcow2"])]
    pub format: String,
    /// How progress is shown on stderr; auto: bars on a terminal, elsewhere only what holds it up
    #[arg(long, value_name = "STYLE", default_value = "auto", value_parser = display::STYLES)]
    pub progress: String,
    /// Print the summary as JSON on a terminal too; elsewhere it always is
    #[arg(long)]
    pub json: bool,
    /// Read the device back and compare: costs another pass over the image's size, and a digest of what is written
    #[arg(long)]
    pub read_back: bool,
    /// How servers are asked.
    #[command(flatten)]
    pub servers: ServerArguments,
    /// Whether it may be done.
    #[command(flatten)]
    pub confirmation: Confirmation,
}

/// Writes the image and prints a summary.
///
/// # Errors
/// The reason, for people.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let is_checked = arguments.checksum.is_some() || arguments.checksum_url.is_some();
    if !is_checked && !arguments.no_checksum && !arguments.url.starts_with(oci::SCHEME) {
        let text = "one of --checksum, --checksum-url and --no-checksum is required";
        let command = Arguments::augment_args(clap::Command::new("ferric-agent write-image"));
        command.bin_name("ferric-agent write-image").error(ErrorKind::MissingRequiredArgument, text).exit();
    }
    let device = device(&arguments)?;
    // Before anything handles Ctrl-C: here it simply ends the program.
    arguments.confirmation.ask(&device)?;
    let as_json = arguments.json || !std::io::stdout().is_terminal();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let summary = runtime.block_on(shown(arguments, device))?;
    Ok(print::text(&if as_json { serde_json::to_string_pretty(&summary)? } else { said(&summary) })?)
}

/// Writes, can be interrupted, and shows how far it is.
async fn shown(arguments: Arguments, device: EligibleDevice) -> anyhow::Result<WriteSummary> {
    let (progress, cancel) = (Progress::default(), CancellationToken::new());
    let interrupted = cancel.clone();
    tokio::spawn(async move {
        // Without a handler for it, Ctrl-C simply ends the process: that is safe as well.
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let display = display::show(Style::parse(&arguments.progress), progress.clone());
    let written = write(arguments, device, &progress, &cancel).await;
    display.end().await;
    written
}

fn device(arguments: &Arguments) -> anyhow::Result<EligibleDevice> {
    let machine = Machine::host();
    let allowed = (!arguments.allow_device.is_empty()).then(|| arguments.allow_device.clone());
    let listing = block::list(&machine, &DevicePolicy { allowed, skip: Vec::new() });
    let name = arguments.device.to_str().context("the device's path is not UTF-8")?;
    Ok(listing.find(&machine, name)?.clone())
}

async fn write(
    arguments: Arguments,
    device: EligibleDevice,
    progress: &Progress,
    cancel: &CancellationToken,
) -> anyhow::Result<WriteSummary> {
    let what = format!("{} was not written to {}", Location::shown(&arguments.url), device.name);
    let failed = |error: image::ImageError| anyhow!(error.chain()).context(what.clone());
    let (http, retries) = (arguments.servers.http()?, arguments.servers.retries());
    let context = RetryContext { retries: &retries, progress, cancel };
    let expected = match (&arguments.checksum, &arguments.checksum_url) {
        (Some(digest), _) => Some(digest.parse().map_err(|reason: String| anyhow!(reason))?),
        (None, Some(url)) => {
            progress.activity(format!("reading {}", Location::shown(url)));
            let found = listed(url, &arguments.url, &http, context.clone()).await;
            Some(found.with_context(|| format!("checksum file {}", Location::shown(url)))?)
        }
        (None, None) => None,
    };
    progress.activity(format!("looking for {}", Location::shown(&arguments.url)));
    let urls = [arguments.url.clone()];
    let found = image::find(&urls, &http, context).await.map_err(failed)?;
    let verify = match (expected, &found.digest) {
        (Some(expected), _) => Verify::Digest(found.agree(expected).map_err(failed)?),
        (None, Some(digest)) if !arguments.no_checksum => Verify::Digest(digest.clone()),
        (None, _) => Verify::Unchecked,
    };
    let disk = device.clone();
    let request = WriteRequest {
        format: match arguments.format.as_str() {
            "raw" => FormatChoice::Raw,
            "qcow2" => FormatChoice::Qcow2,
            _ => FormatChoice::Auto,
        },
        decoded: arguments.decoded_checksum,
        read_back: arguments.read_back,
        http,
        retries,
        login: found.login,
        ..WriteRequest::new(found.locations, device, verify)
    };
    let mut summary = image::write(request, progress, cancel).await.map_err(failed)?;
    let finished = tokio::task::spawn_blocking(move || adopt(&Machine::host(), &disk, |_| Ok(()))).await?;
    let adopted = finished.map_err(|error| anyhow!(error.chain()).context(what))?;
    summary.notes.extend(adopted.note.map(str::to_string));
    Ok(summary)
}

/// The digest of `image` in the checksum file at `url`, which may be a path.
async fn listed(url: &str, image: &str, http: &HttpOptions, context: RetryContext<'_>) -> anyhow::Result<Digest> {
    let body = match Location::parse(url)? {
        Location::File(path) => {
            let mut body = Vec::new();
            let limit = CHECKSUM_FILE_LIMIT.bytes;
            std::fs::File::open(&path)?.take(limit as u64 + 1).read_to_end(&mut body)?;
            ensure!(body.len() <= limit, "longer than {limit} bytes");
            body
        }
        Location::Http(_) => {
            let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
            let mut http = http.clone();
            // They are meant for the server of the image.
            if origin(url) != origin(image) {
                http.headers = Headers::default();
            }
            document(url, &http, CHECKSUM_FILE_LIMIT, context).await.map_err(|error| anyhow!(chain(&error)))?
        }
    };
    Ok(checksum::find(&String::from_utf8_lossy(&body), &FileName::of(image), None)?)
}

/// What was done, for people.
fn said(summary: &WriteSummary) -> String {
    let seconds = summary.seconds.total.max(0.001);
    let rate = Bytes((summary.image_bytes as f64 / seconds) as u64);
    let verified = match &summary.digest {
        Some(digest) => format!("verified: {digest}"),
        None => "not verified".to_string(),
    };
    let read_back = if summary.read_back.is_some() { ", read back" } else { "" };
    let compression = summary.compression.map(|name| format!(" behind {name}")).unwrap_or_default();
    let mut text = format!(
        "{}: {} written in {seconds:.1} s ({rate}/s){read_back}, {verified}\n  from {} ({}{compression}): {} data, {} zeros\n",
        summary.device,
        Bytes(summary.image_bytes),
        summary.source,
        summary.format,
        Bytes(summary.written_bytes),
        Bytes(summary.zeroed_bytes),
    );
    if let Some(digest) = &summary.decoded_digest {
        text += &format!("  behind its compression: {digest}\n");
    }
    for note in &summary.notes {
        text += &format!("  {note}\n");
    }
    text
}
