//! `ferric-ignition iso extract`.

use std::fs;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::iso9660::{Extent, Iso9660};
use crate::kernel_arguments::KernelArgument;
use crate::live_iso::LiveIso;
use crate::minimal_iso::MinimalIso;
use crate::patch;
use crate::pxe;
use anyhow::{Context, ensure};

use super::{open, open_image};
use crate::cli::{output, print};

const PXE_DIRECTORY: &str = "images/pxeboot";
const ROOTFS: &str = "images/pxeboot/rootfs.img";

/// Subcommands of `iso extract`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// An ISO without the root file system, which the live system then fetches by network
    MinimalIso {
        /// The live ISO, as it was made
        iso: PathBuf,
        /// The minimal one, a new file; - is standard output
        #[arg(value_name = "OUT", default_value = "-")]
        output: PathBuf,
        /// Write the root file system to this new file
        #[arg(long, value_name = "FILE")]
        output_rootfs: Option<PathBuf>,
        /// Where the live system fetches it; without this, a kernel argument coreos.live.rootfs_url= has to be added
        #[arg(long, value_name = "URL")]
        rootfs_url: Option<String>,
    },
    /// Kernel, initramfs and root file system, for network boot
    Pxe {
        /// The live ISO
        iso: PathBuf,
        /// Directory for the files, whose names begin with that of the ISO
        #[arg(short, long, value_name = "DIR", default_value = ".")]
        output_dir: PathBuf,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::MinimalIso { iso, output, output_rootfs, rootfs_url } => {
            let url = rootfs_url.as_deref().map(pxe::rootfs_argument).transpose()?;
            minimal_iso(iso, output, output_rootfs.as_deref(), url.as_ref())
        }
        Command::Pxe { iso, output_dir } => pxe_files(iso, output_dir),
    }
}

fn minimal_iso(
    path: &Path,
    minimal_path: &Path,
    rootfs_path: Option<&Path>,
    url: Option<&KernelArgument>,
) -> anyhow::Result<()> {
    let (image, live) = open(path)?;
    ensure!(!live.is_customized(), "{} is customized: reset it first (iso reset)", path.display());
    let mut iso = Iso9660::open(image).with_context(|| path.display().to_string())?;
    let minimal = MinimalIso::read(&mut iso).with_context(|| path.display().to_string())?;
    if let Some(rootfs_path) = rootfs_path {
        let rootfs = iso.find(ROOTFS).with_context(|| path.display().to_string())?;
        output::to(rootfs_path, |out| copy(&mut iso, rootfs, out))?;
    }
    // Its kernel arguments are only found when it is there.
    let on_standard_output = minimal_path == Path::new("-");
    let mut file = if on_standard_output { tempfile::NamedTempFile::new()? } else { output::new_file(minimal_path)? };
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file_mut());
    minimal.write(iso.image(), &mut out).with_context(|| path.display().to_string())?;
    out.flush().context("writing the minimal ISO")?;
    drop(out);
    let mut live = LiveIso::read(file.as_file()).context("the minimal ISO")?;
    live.fetch_rootfs(url)?;
    patch::apply(file.as_file(), &live.patches()?).context("writing the minimal ISO")?;
    if on_standard_output {
        file.rewind()?;
        return output::to(minimal_path, |out| Ok(io::copy(&mut file, out).map(|_| ())?));
    }
    output::finish(file, minimal_path)
}

fn pxe_files(path: &Path, directory: &Path) -> anyhow::Result<()> {
    let mut iso = Iso9660::open(open_image(path)?).with_context(|| path.display().to_string())?;
    let files = iso.files(PXE_DIRECTORY).with_context(|| path.display().to_string())?;
    let stem = path.file_stem().with_context(|| format!("{} has no file name", path.display()))?;
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    for (name, extent) in files {
        let name = name.trim_end_matches('.').to_lowercase();
        // Names in an image become names outside: only plain ones.
        let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        ensure!(name.chars().all(plain) && !name.starts_with('.'), "{} has a file {name:?}", path.display());
        let target = directory.join(format!("{}-{name}", stem.to_string_lossy()));
        output::to(&target, |out| copy(&mut iso, extent, out))?;
        print::text(&target.display().to_string())?;
    }
    Ok(())
}

fn copy(iso: &mut Iso9660<fs::File>, extent: Extent, out: &mut dyn Write) -> anyhow::Result<()> {
    let image = iso.image();
    image.seek(SeekFrom::Start(extent.offset))?;
    let copied = io::copy(&mut image.take(extent.length), out)?;
    ensure!(copied == extent.length, "the ISO ends too early");
    Ok(())
}
