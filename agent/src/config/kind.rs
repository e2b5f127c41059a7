//! What kinds of values options have, and how their text is checked and brought into one spelling.

/// The kind of an option's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or directory.
    Path,
    /// One or more base URLs, separated by commas, or `mdns`.
    ApiUrl,
    /// `true`/`1`/`yes`/`on`/`t`/`y` or their opposites, in any case.
    Bool,
    /// A whole number between two limits, both included.
    Integer(i64, i64),
    /// A number.
    Float,
    /// Texts separated by commas.
    List,
    /// One of these, in any case.
    Choice(&'static [&'static str]),
    /// `major.minor`.
    Version,
    /// An address or host name.
    HostName,
}

impl Kind {
    /// A TCP port.
    pub const PORT: Self = Self::Integer(0, 65535);
    /// Zero or more.
    pub const COUNT: Self = Self::Integer(0, i64::MAX);
    /// One or more.
    pub const POSITIVE: Self = Self::Integer(1, i64::MAX);

    /// `text` in the spelling that readers of the option rely on (`yes` becomes `true`).
    ///
    /// # Errors
    /// What is expected instead.
    pub fn normalise(self, text: &str) -> Result<String, String> {
        let trimmed = text.trim();
        match self {
            Self::Text | Self::Path => Ok(trimmed.to_string()),
            Self::ApiUrl => {
                let fits = trimmed.starts_with("mdns")
                    || ["http://", "https://"].iter().any(|scheme| {
                        trimmed.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with(','))
                    });
                fits.then(|| trimmed.to_string()).ok_or_else(|| "expected http://…, https://… or mdns".to_string())
            }
            Self::Bool => parse_bool(trimmed)
                .map(|value| value.to_string())
                .ok_or_else(|| "expected a boolean (true, false, yes, no, on, off, 1, 0)".to_string()),
            Self::Integer(min, max) => match trimmed.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(number.to_string()),
                _ if max == i64::MAX => Err(format!("expected a whole number of at least {min}")),
                _ => Err(format!("expected a whole number from {min} to {max}")),
            },
            Self::Float => match trimmed.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(number.to_string()),
                _ => Err("expected a number".to_string()),
            },
            Self::List => {
                Ok(trimmed.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().join(","))
            }
            Self::Choice(choices) => choices
                .iter()
                .find(|choice| choice.eq_ignore_ascii_case(trimmed))
                .map(ToString::to_string)
                .ok_or_else(|| format!("expected one of {}", choices.join(", "))),
            Self::Version => trimmed
                .split_once('.')
                .filter(|(major, minor)| major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok())
                .map(|_| trimmed.to_string())
                .ok_or_else(|| "expected MAJOR.MINOR".to_string()),
            Self::HostName => {
                let fits = (1..=253).contains(&trimmed.len())
                    && trimmed.chars().all(|c| c.is_ascii_alphanumeric() || ".:_-".contains(c));
                fits.then(|| trimmed.to_string()).ok_or_else(|| "expected an address or a host name".to_string())
            }
        }
    }
}

/// A boolean in any of the spellings that configuration files use.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_brought_into_one_spelling() {
        for (kind, given, kept) in [
            (Kind::Bool, "YES", "true"),
            (Kind::Bool, "f", "false"),
            (Kind::PORT, " 9999 ", "9999"),
            (Kind::List, "raw, gpt,,qcow2", "raw,gpt,qcow2"),
            (Kind::Choice(&["p256", "p384"]), "P384", "p384"),
            (Kind::ApiUrl, "http://a:6385,https://b", "http://a:6385,https://b"),
            (Kind::Float, "30", "30"),
            (Kind::Version, "1.68", "1.68"),
        ] {
            assert_eq!(kind.normalise(given).as_deref(), Ok(kept), "{given}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for (kind, given) in [
            (Kind::Bool, "maybe"),
            (Kind::PORT, "65536"),
            (Kind::POSITIVE, "0"),
            (Kind::Choice(&["1.2", "1.3"]), "1.1"),
            (Kind::ApiUrl, ""),
            (Kind::ApiUrl, "\"http://quoted\""),
            (Kind::ApiUrl, "ftp://x"),
            (Kind::Version, "1"),
            (Kind::HostName, "ntp server"),
        ] {
            assert!(kind.normalise(given).is_err(), "{given}");
        }
    }
}
