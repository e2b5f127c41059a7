//! `ferric-agent write-image`.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use clap::error::ErrorKind;
use ferric_hardware::block::{self, DevicePolicy};
use ferric_hardware::machine::Machine;
use ferric_steps::deploy::adopt::adopt;
use ferric_steps::http::document::{RetryContext, document};
use ferric_steps::http::{HttpOptions, Limit};
use ferric_steps::image::checksum::{self, FileName};
use ferric_steps::image::{
    self, Decoded, Digest, FormatChoice, ImageError, Location, Retries, Verify, WriteRequest, WriteSummary, oci,
};
use ferric_steps::progress::Progress;
use tokio_util::sync::CancellationToken;

use super::display::{self, Style};
use super::print;

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
    /// oci://registry/name@digest. User and password are part of the URL: https://user:password@host/image
    #[arg(long, value_name = "URL|PATH")]
    pub url: String,
    /// The expected digest of the image as downloaded; one of these three is needed, except for oci://, where the registry has it
    #[arg(long, value_name = "ALGO:HEX")]
    pub checksum: Option<String>,
    /// Where the expected digest is
    #[arg(long, value_name = "URL")]
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
    /// How progress is shown on stderr; auto: a bar on a terminal, else lines
    #[arg(long, value_name = "STYLE", default_value = "auto", value_parser = ["auto", "bar", "json", "none"])]
    pub progress: String,
    /// Read the device back and compare: costs another pass over the image's size, and a digest of what is written
    #[arg(long)]
    pub read_back: bool,
}

/// Writes the image and prints a JSON summary.
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
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let summary = runtime.block_on(write(arguments))?;
    Ok(print::text(&serde_json::to_string_pretty(&summary)?)?)
}

async fn write(arguments: Arguments) -> anyhow::Result<WriteSummary> {
    let machine = Machine::host();
    let allowed = (!arguments.allow_device.is_empty()).then(|| arguments.allow_device.clone());
    let listing = block::list(&machine, &DevicePolicy { allowed, skip: Vec::new() });
    let name = arguments.device.to_str().context("the device's path is not UTF-8")?;
    let device = listing.find(&machine, name)?.clone();

    let cancel = CancellationToken::new();
    let what = format!("{} was not written to {}", Location::shown(&arguments.url), device.name);
    let failed = |error: ImageError| anyhow!(error.chain()).context(what.clone());
    let expected = match (&arguments.checksum, &arguments.checksum_url) {
        (Some(digest), _) => Some(digest.parse().map_err(|reason: String| anyhow!(reason))?),
        (None, Some(url)) => Some(listed(url, &arguments.url).await?),
        (None, None) => None,
    };
    let urls = [arguments.url.clone()];
    let (http, retries, progress) = (HttpOptions::default(), Retries::default(), Progress::default());
    let context = RetryContext { retries: &retries, progress: &progress, cancel: &cancel };
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
        login: found.login,
        ..WriteRequest::new(found.locations, device, verify)
    };

    let interrupted = cancel.clone();
    tokio::spawn(async move {
        // Without a handler for it, Ctrl-C simply ends the process: that is safe as well.
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let shown = display::show(Style::parse(&arguments.progress), progress.clone());
    let written = image::write(request, &progress, &cancel).await;
    shown.end().await;
    let summary = written.map_err(failed)?;
    let finished = tokio::task::spawn_blocking(move || adopt(&machine, &disk, |_| Ok(()))).await?;
    finished.map_err(|error| anyhow!(error.chain()).context(what))?;
    Ok(summary)
}

/// The digest of `image` in the checksum file behind `url`.
async fn listed(url: &str, image: &str) -> anyhow::Result<Digest> {
    let (http, retries, progress, cancel) = Default::default();
    let context = RetryContext { retries: &retries, progress: &progress, cancel: &cancel };
    let body = document(url, &http, CHECKSUM_FILE_LIMIT, context).await.context("checksum file")?;
    checksum::find(&String::from_utf8_lossy(&body), &FileName::of(image), None)
        .with_context(|| format!("checksum file {url}"))
}
