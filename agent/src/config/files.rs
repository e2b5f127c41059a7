//! Which configuration files there are, and their content.

use std::path::{Path, PathBuf};

use super::{ConfigError, Sources, ini};

/// Directories that are read when none is named: where Ignition, virtual media and packages put files for IPA.
const DEFAULT_DIRECTORIES: [&str; 3] =
    ["/etc/ironic-python-agent.conf.d", "/etc/ironic-python-agent", "/etc/ironic-python-agent.d"];

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "ironic-python-agent.conf";

/// The files in order of precedence, weakest first: those named, then those of the directories, each sorted by name.
pub(super) fn read(sources: &Sources) -> Result<Vec<(PathBuf, ini::Sections)>, ConfigError> {
    let defaults = sources.config_files.is_empty() && sources.config_dirs.is_empty();
    let mut paths = sources.config_files.clone();
    for directory in &sources.config_dirs {
        paths.extend(configuration_files(directory)?);
    }
    if defaults {
        let home = sources.environment.get("HOME").map(PathBuf::from);
        let places = home.iter().map(PathBuf::as_path).chain([Path::new("/etc")]);
        paths.extend(places.map(|place| place.join(DEFAULT_FILE)).find(|path| path.is_file()));
        for directory in DEFAULT_DIRECTORIES.iter().map(Path::new).filter(|directory| directory.is_dir()) {
            paths.extend(configuration_files(directory)?);
        }
    }
    paths.into_iter().map(parse).collect()
}

fn configuration_files(directory: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let error = |cause| ConfigError::Read { path: directory.to_path_buf(), cause };
    let entries = std::fs::read_dir(directory).map_err(error)?.collect::<Result<Vec<_>, _>>().map_err(error)?;
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf") && path.is_file())
        .collect();
    paths.sort();
    Ok(paths)
}

fn parse(path: PathBuf) -> Result<(PathBuf, ini::Sections), ConfigError> {
    let text = std::fs::read_to_string(&path).map_err(|cause| ConfigError::Read { path: path.clone(), cause })?;
    let sections = ini::parse(&text).map_err(|cause| ConfigError::Syntax { path: path.clone(), cause })?;
    Ok((path, sections))
}
