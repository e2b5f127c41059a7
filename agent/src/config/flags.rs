//! The flags of `run`, made from the option table: `--listen-port N` and, as IPA spells it, `--listen_port N`;
//! `--insecure` and `--noinsecure`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};

use super::kind::Kind;
use super::{Sources, options};

/// What was given on the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config-file`, in order.
    pub config_files: Vec<PathBuf>,
    /// `--config-dir`, in order.
    pub config_dirs: Vec<PathBuf>,
    /// Options by name.
    pub values: BTreeMap<String, String>,
}

impl Flags {
    /// These flags together with the other sources of this process: environment and kernel parameters.
    pub fn into_sources(self, kernel: BTreeMap<String, String>) -> Sources {
        Sources {
            kernel,
            config_files: self.config_files,
            config_dirs: self.config_dirs,
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags: self.values,
        }
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let mut command = command.arg(
            Arg::new("config-file")
                .long("config-file")
                .value_name("FILE")
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Configuration file, repeatable; later ones win"),
        );
        command = command.arg(
            Arg::new("config-dir")
                .long("config-dir")
                .value_name("DIR")
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath)
                .help("Directory of configuration files (*.conf, sorted by name), repeatable"),
        );
        command = command.arg(
            Arg::new("allow-device")
                .long("allow-device")
                .value_name("DEV")
                .action(ArgAction::Append)
                .help_heading(options::ALLOWED_DEVICES.heading)
                .value_hint(ValueHint::FilePath)
                .help("Make this the only block device that exists, repeatable; admits loop devices [not in IPA]"),
        );
        options::ALL.iter().filter(|spec| spec.group == "DEFAULT").fold(command, |command, spec| add(command, spec))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn add(command: Command, spec: &options::Spec) -> Command {
    let mut help = spec.help.to_string();
    if let Some(default) = spec.default.filter(|default| !default.is_empty() && spec.kind != Kind::Bool) {
        help.push_str(&format!(" [default: {default}]"));
    }
    if let Some(parameter) = spec.kernel {
        help.push_str(&format!(" [kernel: {parameter}]"));
    }
    if spec.ours {
        help.push_str(" [not in IPA]");
    }
    let flag = Arg::new(spec.name).long(spec.flag()).help(help).help_heading(spec.heading);
    let flag = if spec.name.contains('_') { flag.alias(spec.name) } else { flag };
    if spec.kind == Kind::Bool {
        let negation = format!("no{}", spec.name);
        let opposite = Arg::new(negation.clone())
            .long(format!("no{}", spec.flag()))
            .alias(negation.clone())
            .overrides_with(spec.name)
            .action(ArgAction::SetTrue)
            .hide(true);
        command.arg(flag.action(ArgAction::SetTrue).overrides_with(negation)).arg(opposite)
    } else {
        command.arg(flag.value_name(value_name(spec.kind)))
    }
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Path => "PATH",
        Kind::ApiUrl => "URL",
        Kind::Integer(..) | Kind::Float => "N",
        Kind::List => "A,B",
        Kind::HostName => "HOST",
        _ => "VALUE",
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let paths = |name| matches.get_many::<PathBuf>(name).map(|paths| paths.cloned().collect()).unwrap_or_default();
        self.config_files = paths("config-file");
        self.config_dirs = paths("config-dir");
        for spec in options::ALL.iter().filter(|spec| spec.group == "DEFAULT") {
            if spec.kind == Kind::Bool {
                for (name, value) in [(spec.name.to_string(), "true"), (format!("no{}", spec.name), "false")] {
                    if matches.get_flag(&name) {
                        self.values.insert(spec.key(), value.to_string());
                    }
                }
            } else if let Some(value) = matches.get_one::<String>(spec.name) {
                self.values.insert(spec.key(), value.clone());
            }
        }
        if let Some(devices) = matches.get_many::<String>("allow-device") {
            let devices = devices.cloned().collect::<Vec<_>>().join(",");
            self.values.insert(options::ALLOWED_DEVICES.key(), devices);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn parse(line: &str) -> Flags {
        let matches = Flags::augment_args(Command::new("run")).try_get_matches_from(line.split(' ')).unwrap();
        Flags::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn both_spellings_are_accepted() {
        for line in ["run --api-url http://a --listen-port 1", "run --api_url http://a --listen_port=1"] {
            let flags = parse(line);
            assert_eq!(flags.values["api_url"], "http://a");
            assert_eq!(flags.values["listen_port"], "1");
        }
    }

    #[test]
    fn booleans_have_an_opposite_and_the_last_one_counts() {
        assert_eq!(parse("run --insecure").values["insecure"], "true");
        assert_eq!(parse("run --insecure --noinsecure").values["insecure"], "false");
        assert_eq!(parse("run --noenable_auto_tls --enable-auto-tls").values["enable_auto_tls"], "true");
        assert!(!parse("run").values.contains_key("insecure"));
    }

    #[test]
    fn the_help_tells_what_only_this_agent_has() {
        let help = Flags::augment_args(Command::new("run")).term_width(1000).render_long_help().to_string();
        for spec in options::ALL.iter().filter(|spec| spec.ours) {
            let mut entries = help.split("\n\n").filter(|entry| entry.contains(&format!("--{}", spec.flag())));
            let entry = entries.next().unwrap_or_else(|| panic!("{} is missing", spec.name));
            assert!(entry.contains(spec.help) && entry.contains("[not in IPA]"), "{entry}");
        }
    }

    #[test]
    fn lists_of_files_and_devices() {
        let flags = parse("run --config-dir /a --config-dir /b --allow-device /dev/loop1 --allow-device /dev/loop2");
        assert_eq!(flags.config_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(flags.values["allowed_devices"], "/dev/loop1,/dev/loop2");
    }
}
