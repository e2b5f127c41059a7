//! The agent's configuration file, in the INI dialect of oslo.config.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const DEFAULT_SECTION: &str = "DEFAULT";

/// Text that is no option.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OptionError {
    /// No `=`, or no name in front of it.
    #[error("{0:?} is not NAME=VALUE")]
    NotAnAssignment(String),
    /// Not a name that the configuration file could hold.
    #[error("{0:?} is not an option's name: letters, digits, '_' and '-', or SECTION.NAME")]
    Name(String),
    /// A control character, which would end the line.
    #[error("the value of {0} has a control character in it")]
    Value(String),
}

/// One `NAME=VALUE`; `SECTION.NAME=VALUE` for sections other than `DEFAULT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOption {
    section: String,
    name: String,
    value: String,
}

impl AgentOption {
    /// An option of the section `DEFAULT`.
    ///
    /// # Errors
    /// A name or value that the file could not hold.
    pub fn new(name: &str, value: &str) -> Result<Self, OptionError> {
        let (section, name) = name.split_once('.').unwrap_or((DEFAULT_SECTION, name));
        let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
        if section.is_empty() || name.is_empty() || !section.chars().all(plain) || !name.chars().all(plain) {
            return Err(OptionError::Name(name.to_owned()));
        }
        if value.contains(char::is_control) {
            return Err(OptionError::Value(name.to_owned()));
        }
        Ok(Self { section: section.to_owned(), name: name.to_owned(), value: value.trim().to_owned() })
    }
}

impl AgentOption {
    /// Does it have the agent accept any certificate of the conductor?
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        let on = ["true", "yes", "1", "on", "t", "y"].iter().any(|word| self.value.eq_ignore_ascii_case(word));
        self.section == DEFAULT_SECTION && self.name == "insecure" && on
    }
}

impl FromStr for AgentOption {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or_else(|| OptionError::NotAnAssignment(text.to_owned()))?;
        Self::new(name.trim(), value)
    }
}

/// The file; of options with the same name the last wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentConf {
    sections: BTreeMap<String, BTreeMap<String, String>>,
}

impl FromIterator<AgentOption> for AgentConf {
    fn from_iter<I: IntoIterator<Item = AgentOption>>(options: I) -> Self {
        let mut conf = Self::default();
        for AgentOption { section, name, value } in options {
            conf.sections.entry(section).or_default().insert(name, value);
        }
        conf
    }
}

impl fmt::Display for AgentConf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (section, options) in &self.sections {
            writeln!(formatter, "[{section}]")?;
            for (name, value) in options {
                writeln!(formatter, "{name} = {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_grouped_by_section_and_the_last_wins() {
        let conf: AgentConf =
            ["debug=false", "disk_utils.partprobe_attempts=3", "debug=true", "api_url=http://a:1?x=y"]
                .iter()
                .map(|text| text.parse::<AgentOption>().unwrap())
                .collect();
        let expected = "[DEFAULT]\napi_url = http://a:1?x=y\ndebug = true\n[disk_utils]\npartprobe_attempts = 3\n";
        assert_eq!(conf.to_string(), expected);
    }

    #[test]
    fn nothing_can_smuggle_in_another_line() {
        for text in ["debug", "=x", "a b=1", "[x]=1", "debug=1\napi_url=http://evil", "a.=1", "debug=\r1"] {
            assert!(text.parse::<AgentOption>().is_err(), "{text:?}");
        }
    }
}
