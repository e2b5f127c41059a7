//! One configuration out of all sources, weakest to strongest: defaults, kernel command line, virtual media, files,
//! environment, flags, what Ironic says.

mod files;
pub mod flags;
pub mod ini;
pub mod kernel;
pub mod kind;
pub mod options;
pub mod settings;
mod steps;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ferric_steps::options::{CoreOs, Options};
pub use options::Spec;
pub use settings::Settings;

/// The merged configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Text of every option that has a value, in its normal spelling, by [`Spec::key`].
    values: BTreeMap<String, String>,
    boot_interface: Option<String>,
    benchmarks: Option<String>,
    core_os: CoreOs,
}

/// Why there is no configuration. Fatal at start-up.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or directory that was asked for cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
    /// A file is no configuration file.
    #[error("{path}: {cause}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line.
        cause: ini::SyntaxError,
    },
    /// A value is not of the option's kind.
    #[error("bad value for {option} ({source_name}): {expected}, not {value:?}")]
    BadValue {
        /// The option.
        option: String,
        /// Where the value was found.
        source_name: String,
        /// What would be good.
        expected: String,
        /// The value.
        value: String,
    },
}

/// Where options come from, apart from the built-in defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Parameters of the kernel command line, then of virtual media.
    pub kernel: BTreeMap<String, String>,
    /// `--config-file`, in order.
    pub config_files: Vec<PathBuf>,
    /// `--config-dir`, in order.
    pub config_dirs: Vec<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Flags, by [`Spec::key`].
    pub flags: BTreeMap<String, String>,
}

impl Sources {
    /// These sources and the files of further directories, over those of the directories that are named already. When
    /// neither file nor directory is named the default directories hold.
    #[must_use]
    pub fn with_directories(mut self, directories: Vec<PathBuf>) -> Self {
        if !(self.config_files.is_empty() && self.config_dirs.is_empty()) {
            let new = directories.into_iter().filter(|directory| !self.config_dirs.contains(directory));
            self.config_dirs.extend(new.collect::<Vec<_>>());
        }
        self
    }
}

impl Config {
    /// Reads and merges all sources.
    ///
    /// # Errors
    /// An unreadable file that was asked for, a syntax error, or a value of the wrong kind. Unknown options are ignored.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut config = Self::with_defaults();
        config.boot_interface = sources.kernel.get("BOOTIF").cloned();
        config.benchmarks = sources.kernel.get("ipa-inspection-benchmarks").cloned();
        config.core_os = steps::core_os(&sources.environment);
        for spec in options::ALL {
            if let Some((parameter, text)) = spec.kernel.and_then(|name| sources.kernel.get_key_value(name)) {
                config.set(spec, text, parameter)?;
            }
        }
        for (path, sections) in files::read(sources)? {
            for (group, name, text) in
                sections.iter().flat_map(|(group, keys)| keys.iter().map(move |(name, text)| (group, name, text)))
            {
                if let Some(spec) = options::find(group, name) {
                    config.set(spec, &interpolate(text, &sections, group), &path.display().to_string())?;
                }
            }
        }
        for spec in options::ALL {
            let variable = format!("OS_{}__{}", spec.group.to_uppercase(), spec.name.to_uppercase());
            if let Some(text) = sources.environment.get(&variable) {
                config.set(spec, text, &variable)?;
            }
            if let Some(text) = sources.flags.get(&spec.key()) {
                config.set(spec, text, &format!("--{}", spec.flag()))?;
            }
        }
        if let Some(debug) = sources.kernel.get("ipa-debug").and_then(|text| kind::parse_bool(text)) {
            config.values.insert(options::DEBUG.key(), debug.to_string());
        }
        Ok(config)
    }

    /// The built-in defaults alone.
    pub fn with_defaults() -> Self {
        let values = options::ALL
            .iter()
            .filter_map(|spec| spec.default.map(|default| (spec.key(), default.to_string())))
            .collect();
        Self { values, boot_interface: None, benchmarks: None, core_os: CoreOs::default() }
    }

    /// Sets an option.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`], naming `source` as the place of the value.
    pub fn set(&mut self, spec: &Spec, text: &str, source: &str) -> Result<(), ConfigError> {
        let value = spec.kind.normalise(text).map_err(|expected| ConfigError::BadValue {
            option: spec.key(),
            source_name: source.to_string(),
            expected,
            value: text.to_string(),
        })?;
        self.values.insert(spec.key(), value);
        Ok(())
    }

    /// What the agent itself is told.
    pub fn settings(&self) -> Settings {
        Settings::of(self)
    }

    /// What steps are told.
    pub fn step_options(&self) -> Options {
        steps::options(self)
    }

    /// The text of an option that is set and not empty.
    fn text(&self, spec: &Spec) -> Option<&str> {
        self.values.get(&spec.key()).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A boolean; false when it is not set.
    fn flag(&self, spec: &Spec) -> bool {
        self.text(spec) == Some("true")
    }

    /// A whole number; 0 when it is not set.
    fn number(&self, spec: &Spec) -> u64 {
        self.text(spec).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// A TCP or UDP port; 0 when it is not set.
    fn port(&self, spec: &Spec) -> u16 {
        self.number(spec).try_into().unwrap_or(0)
    }

    /// A number of seconds; zero when it is not set.
    fn seconds(&self, spec: &Spec) -> Duration {
        let seconds = self.text(spec).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// `major.minor`.
    fn version(&self, spec: &Spec) -> Option<(u32, u32)> {
        let (major, minor) = self.text(spec)?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }

    /// The items of a list.
    fn list(&self, spec: &Spec) -> Vec<&str> {
        self.text(spec)
            .map(|text| text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect())
            .unwrap_or_default()
    }

    /// A path that is set.
    fn path(&self, spec: &Spec) -> Option<PathBuf> {
        self.text(spec).map(PathBuf::from)
    }

    /// The root file system of the host: the configured one when it exists, else ours.
    fn host_root(&self) -> PathBuf {
        self.path(&options::HOST_ROOT).filter(|root| root.is_dir()).unwrap_or_else(|| PathBuf::from("/"))
    }

    /// The directory in which a restarted agent finds what it was.
    fn state_dir(&self) -> PathBuf {
        self.path(&options::STATE_DIR).unwrap_or_else(|| self.host_root().join("run/ferric-agent"))
    }
}

/// Replaces `$name` and `${name}` by the option of the same file (of the same section, else `DEFAULT`) or its default,
/// and `$$` by `$`. What refers to nothing stays as it is.
fn interpolate(text: &str, sections: &ini::Sections, group: &str) -> String {
    let lookup = |name: &str| {
        [group, "DEFAULT"].iter().find_map(|group| {
            let written = sections.get(*group).and_then(|keys| keys.get(name)).cloned();
            written.or_else(|| options::find(group, name)?.default.map(str::to_string))
        })
    };
    let mut output = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        output.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            output.push('$');
            rest = after;
            continue;
        }
        let (name, end) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, end)) => (name, end),
            None => after.split_at(after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        match lookup(name).filter(|_| !name.is_empty()) {
            Some(value) => output.push_str(&value),
            None => output.push_str(&rest[before.len()..rest.len() - end.len()]),
        }
        rest = end;
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod walk;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn sources(directory: &Path) -> Sources {
        Sources { config_dirs: vec![directory.to_path_buf()], ..Sources::default() }
    }

    #[test]
    fn stronger_sources_win() {
        let directory = tempfile::tempdir().unwrap();
        let mut sources = sources(directory.path());
        let port = |sources: &Sources| Config::load(sources).unwrap().settings().listen.port;
        assert_eq!(port(&sources), 9999);
        sources.kernel = kernel::parse("ipa-listen-port=1");
        assert_eq!(port(&sources), 1);
        std::fs::write(directory.path().join("10-a.conf"), "[DEFAULT]\nlisten_port=2\n").unwrap();
        assert_eq!(port(&sources), 2);
        std::fs::write(directory.path().join("20-b.conf"), "[DEFAULT]\nlisten_port: 3\nunknown=x\n[nowhere]\na=b")
            .unwrap();
        std::fs::write(directory.path().join("30-c.txt"), "[DEFAULT]\nlisten_port: 9").unwrap();
        assert_eq!(port(&sources), 3);
        sources.environment.insert("OS_DEFAULT__LISTEN_PORT".into(), "4".into());
        assert_eq!(port(&sources), 4);
        sources.flags.insert("listen_port".into(), "5".into());
        assert_eq!(port(&sources), 5);
    }

    #[test]
    fn directories_of_virtual_media_are_read_beside_those_of_the_command_line() {
        let (named, medium) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(named.path().join("a.conf"), "[DEFAULT]\nlisten_port=2\napi_url=http://a\n").unwrap();
        std::fs::write(medium.path().join("a.conf"), "[DEFAULT]\nlisten_port=3\n").unwrap();
        let added = |directory: &Path| sources(named.path()).with_directories(vec![directory.to_path_buf()]);
        let config = Config::load(&added(medium.path())).unwrap();
        assert_eq!((config.number(&options::LISTEN_PORT), config.text(&options::API_URL)), (3, Some("http://a")));
        assert_eq!(added(named.path()).config_dirs, [named.path()]);
        assert!(Sources::default().with_directories(vec![medium.path().into()]).config_dirs.is_empty());
    }

    #[test]
    fn the_debug_parameter_beats_everything() {
        let directory = tempfile::tempdir().unwrap();
        let mut sources = sources(directory.path());
        sources.flags.insert("debug".into(), "false".into());
        sources.kernel = kernel::parse("ipa-debug=1");
        assert!(Config::load(&sources).unwrap().settings().log.debug);
    }

    #[test]
    fn bad_input_names_option_and_place() {
        let directory = tempfile::tempdir().unwrap();
        let mut given = sources(directory.path());
        given.kernel = kernel::parse("ipa-api-url=\"http://x\"");
        let text = Config::load(&given).unwrap_err().to_string();
        assert!(text.contains("api_url") && text.contains("ipa-api-url"), "{text}");

        let missing = sources(&directory.path().join("missing"));
        assert!(matches!(Config::load(&missing), Err(ConfigError::Read { .. })));

        std::fs::write(directory.path().join("a.conf"), "listen_port=2\n").unwrap();
        let text = Config::load(&sources(directory.path())).unwrap_err().to_string();
        assert!(text.contains("a.conf") && text.contains("line 1"), "{text}");
    }

    #[test]
    fn values_may_refer_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let text =
            "[DEFAULT]\nhost=a\nadvertise_host=${listen_host}.x\nlisten_host=$host\nimage_server_password=p$$w$x\n";
        std::fs::write(directory.path().join("a.conf"), text).unwrap();
        let config = Config::load(&sources(directory.path())).unwrap();
        assert_eq!(config.text(&options::LISTEN_HOST), Some("a"));
        assert_eq!(config.text(&options::IMAGE_SERVER_PASSWORD), Some("p$w$x"));
    }
}
