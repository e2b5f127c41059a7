//! Kernel command lines, made of arguments that cannot break out of the place they are written to.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An argument that could not be told from other text where command lines stand (GRUB, iPXE, `/proc/cmdline`).
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KernelArgumentError {
    /// Empty, or white space or control characters in it: it would be more than one argument, or another line.
    #[error("kernel argument {0:?} is empty or has white space or control characters")]
    NotOneWord(String),
    /// A character or a word that boot loaders act on.
    #[error("kernel argument {0:?} has a meaning of its own to a boot loader")]
    BootLoaderSyntax(String),
}

/// One kernel argument, `name` or `name=value`.
///
/// Refused are white space, control and non-ASCII characters, quotes, `\`, `#`, `;`, `$`, `{` and `}`, and
/// the words `||`, `&&` and `--`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelArgument(String);

impl KernelArgument {
    /// Joins a name and a value.
    ///
    /// # Errors
    /// As [`KernelArgument::from_str`].
    pub fn with_value(name: &str, value: &str) -> Result<Self, KernelArgumentError> {
        format!("{name}={value}").parse()
    }

    /// The argument as it stands in the command line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KernelArgument {
    type Err = KernelArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.chars().all(|character| character.is_ascii_graphic()) {
            return Err(KernelArgumentError::NotOneWord(text.to_owned()));
        }
        let forbidden = |character| matches!(character, '"' | '\'' | '`' | '\\' | '#' | ';' | '$' | '{' | '}');
        if text.contains(forbidden) || matches!(text, "||" | "&&" | "--" | "---") {
            return Err(KernelArgumentError::BootLoaderSyntax(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KernelArgument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The arguments with one space between them.
#[must_use]
pub fn join(arguments: &[KernelArgument]) -> String {
    arguments.iter().map(KernelArgument::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_arguments_pass() {
        for text in
            ["quiet", "console=ttyS0,115200n8", "ipa-api-url=http://[fd00::1]:6385", "BOOTIF=01-52-54-00-12-34-56"]
        {
            assert_eq!(text.parse::<KernelArgument>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn nothing_that_ends_the_line_or_the_word_passes() {
        for text in [
            "",
            "a b",
            "a\nboot evil",
            "a\0",
            "a\tb",
            "ü",
            "a=${net0/mac}",
            "a#b",
            "||",
            "--",
            "a;b",
            "a=\"b\"",
            "a\u{85}b",
        ] {
            assert!(text.parse::<KernelArgument>().is_err(), "{text:?}");
        }
    }
}
