//! Every option, from each of its sources to what it changes, and to its row in the documentation.

use std::collections::BTreeMap;

use clap::{Args, Command, FromArgMatches};

use super::flags::Flags;
use super::kind::{Kind, parse_bool};
use super::options::{self, Spec};
use super::{Config, Sources, kernel};

/// Without these, some options would have nothing to say.
const COMPANIONS: &str =
    "[DEFAULT]\nimage_server_auth_strategy = http_basic\ncertfile = /companion\nkeyfile = /companion\n";

/// Everything that options change.
fn typed(sources: &Sources) -> (String, ferric_steps::options::Options) {
    let config = Config::load(sources).unwrap();
    (format!("{:?}", config.settings()), config.step_options())
}

/// Sources with the companions and this file after them.
fn with_file(directory: &tempfile::TempDir, text: &str) -> Sources {
    std::fs::write(directory.path().join("10-companions.conf"), COMPANIONS).unwrap();
    std::fs::write(directory.path().join("20-option.conf"), text).unwrap();
    Sources { config_dirs: vec![directory.path().to_path_buf()], ..Sources::default() }
}

/// A value that is not the one without it.
fn other_value(spec: &Spec) -> String {
    let default = spec.default.unwrap_or_default();
    match spec.kind {
        Kind::Bool => (!parse_bool(default).unwrap_or(false)).to_string(),
        Kind::Integer(min, _) => (default.parse().unwrap_or(min) + 1).to_string(),
        Kind::Float => "7.5".to_string(),
        Kind::Choice(choices) => {
            let mut others = choices.iter().filter(|choice| **choice != default);
            // The companion has taken the other one.
            let other = if spec.name == "image_server_auth_strategy" { Some(&"noauth") } else { others.next() };
            other.unwrap().to_string()
        }
        // The host's root has to exist.
        Kind::Path => "/usr".to_string(),
        Kind::ApiUrl => "http://192.0.2.1".to_string(),
        Kind::Version => "1.50".to_string(),
        Kind::Text | Kind::List | Kind::HostName => "sample".to_string(),
    }
}

/// The flag that gives an option this value.
fn flag(spec: &Spec, value: &str) -> String {
    match (spec.kind, value) {
        (Kind::Bool, "true") => format!("--{}", spec.flag()),
        (Kind::Bool, _) => format!("--no{}", spec.flag()),
        _ => format!("--{}={value}", spec.flag()),
    }
}

#[test]
fn every_option_changes_something_from_each_of_its_sources() {
    let directory = tempfile::tempdir().unwrap();
    let plain = with_file(&directory, "");
    let before = typed(&plain);
    for spec in options::ALL {
        let value = other_value(spec);
        let mut names = vec![(spec.group, spec.name)];
        names.extend(spec.alias);
        for (group, name) in names {
            let changed = typed(&with_file(&directory, &format!("[{group}]\n{name} = {value}\n"))) != before;
            assert_eq!(changed, !spec.accepted, "[{group}] {name} = {value} in a file");
        }
        let plain = with_file(&directory, "");
        let variable = format!("OS_{}__{}", spec.group.to_uppercase(), spec.name.to_uppercase());
        let environment = Sources { environment: BTreeMap::from([(variable, value.clone())]), ..plain.clone() };
        assert_eq!(typed(&environment) != before, !spec.accepted, "{} in the environment", spec.name);
        // A file beats a kernel parameter, and that of the companions is in the way of none.
        if let Some(parameter) = spec.kernel {
            let kernel = kernel::parse(&format!("{parameter}={value}"));
            let changed = typed(&Sources { kernel, ..plain.clone() }) != before;
            assert_eq!(changed, !spec.accepted, "{parameter}={value}");
        }
        if spec.group == "DEFAULT" {
            let line = ["run".to_string(), flag(spec, &value)];
            let matches = Flags::augment_args(Command::new("run")).try_get_matches_from(&line).unwrap();
            let flags = Flags::from_arg_matches(&matches).unwrap().values;
            assert_eq!(typed(&Sources { flags, ..plain }) != before, !spec.accepted, "{line:?}");
        }
    }
}

/// The options of the first column of a row: `name`, or `[group] name`, whose group holds for the rest of the row.
fn options_of(column: &str) -> Vec<&'static Spec> {
    let mut group = "DEFAULT".to_string();
    let quoted = column.split('`').skip(1).step_by(2);
    quoted
        .map(|text| {
            let name = match text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
                Some((of, name)) => {
                    group = of.to_string();
                    name
                }
                None => text,
            };
            options::find(&group, name).unwrap_or_else(|| panic!("[{group}] {name} is no option"))
        })
        .collect()
}

#[test]
fn the_documentation_has_a_row_for_every_option_and_says_which_have_no_effect() {
    let page = include_str!("../../../docs/compatibility.md");
    let (_, section) = page.split_once("Options of IPA").unwrap();
    let (table, section) = section.split_once("Only Ferric has:").unwrap();
    let (ours, _) = section.split_once("\n\n").unwrap();
    let mut documented: Vec<String> = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let (names, effect) = row.trim_start_matches('|').split_once(" | ").unwrap();
        for spec in options_of(names) {
            assert_eq!(effect.starts_with("accepted, no effect"), spec.accepted, "{}", spec.name);
            assert!(!spec.ours, "{}", spec.name);
            documented.push(spec.key());
        }
    }
    for spec in options_of(ours) {
        assert!(spec.ours, "{}", spec.name);
        documented.push(spec.key());
    }
    let known: Vec<String> = options::ALL.iter().map(|spec| spec.key()).collect();
    for key in &known {
        assert!(documented.contains(key), "docs/compatibility.md does not speak of {key}");
    }
    documented.sort();
    assert!(documented.windows(2).all(|pair| pair[0] != pair[1]), "an option has two rows: {documented:?}");
}
