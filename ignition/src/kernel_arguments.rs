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
    /// Not `NAME=OLD=NEW`.
    #[error("{0:?} is not NAME=OLD=NEW")]
    NotAReplacement(String),
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

/// `NAME=OLD=NEW`: the argument `NAME=OLD` becomes `NAME=NEW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    old: KernelArgument,
    new: KernelArgument,
}

impl FromStr for Replacement {
    type Err = KernelArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || KernelArgumentError::NotAReplacement(text.to_owned());
        let (name, values) = text.split_once('=').ok_or_else(error)?;
        let (old, new) = values.split_once('=').ok_or_else(error)?;
        Ok(Self { old: KernelArgument::with_value(name, old)?, new: KernelArgument::with_value(name, new)? })
    }
}

/// Changes to a command line, made in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Taken out wherever they stand; those that are not there are no fault.
    pub delete: Vec<KernelArgument>,
    /// Added behind the others.
    pub append: Vec<KernelArgument>,
    /// Replaced where they stand.
    pub replace: Vec<Replacement>,
}

impl Edit {
    /// Does it change nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The changed line.
    #[must_use]
    pub fn apply(&self, line: &str) -> String {
        let is_deleted = |word: &&str| !self.delete.iter().any(|argument| argument.as_str() == *word);
        let kept = line.split_ascii_whitespace().filter(is_deleted);
        let all = kept.chain(self.append.iter().map(KernelArgument::as_str));
        let replaced = all.map(|word| {
            let found = |word: &str, change: &Replacement| change.old.as_str() == word;
            self.replace.iter().fold(word, |word, change| if found(word, change) { change.new.as_str() } else { word })
        });
        replaced.collect::<Vec<_>>().join(" ")
    }
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

    #[test]
    fn a_line_is_edited_word_by_word() {
        let words = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let mut edit = Edit { delete: words(&["quiet", "missing"]), append: words(&["c=1", "d"]), replace: Vec::new() };
        assert_eq!(edit.apply("a quiet  b=quiet quiet"), "a b=quiet c=1 d");
        edit.replace = vec!["b=quiet=loud".parse().unwrap(), "c=1=2=3".parse().unwrap()];
        assert_eq!(edit.apply("a b=quiet"), "a b=loud c=2=3 d");
        assert_eq!(Edit::default().apply("a b"), "a b");
        for text in ["a", "a=b", "a=b c=d", "=b=\n"] {
            assert!(text.parse::<Replacement>().is_err(), "{text:?}");
        }
    }
}
