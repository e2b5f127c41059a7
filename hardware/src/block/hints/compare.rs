//! Whether a device's value fits one normalized expression.

use super::expression::{Expression, Unreadable, parse, strip};

/// A comparison that makes no sense: a text where a number is needed, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Nonsense {
    /// The text is no number.
    NotANumber(String),
    /// The operator cannot be applied to such values.
    WrongOperator(String),
    /// The expression has no reading.
    Unreadable,
}

impl From<Unreadable> for Nonsense {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

/// Whether the expression says what a value must not be.
pub(super) fn is_negative(expression: &str) -> bool {
    parse(expression).is_ok_and(|parsed| matches!(parsed.operator, Some("s!=" | "!=")))
}

/// Compares a text in normalized form.
pub(super) fn text(value: &str, expression: &str) -> Result<bool, Nonsense> {
    let Expression { operator, words } = parse(expression)?;
    let first = words.first().copied().unwrap_or_default();
    Ok(match operator {
        None | Some("s==") => value == first,
        Some("s!=") => value != first,
        Some("s<") => value < first,
        Some("s<=") => value <= first,
        Some("s>") => value > first,
        Some("s>=") => value >= first,
        Some("<in>") => value.contains(first),
        Some("<or>") => words.contains(&value),
        Some(operator @ ("<all-in>" | "<range-in>")) => return Err(Nonsense::WrongOperator(operator.into())),
        Some(operator) => numbers(float(value)?, operator, float(first)?)?,
    })
}

/// Compares a number (GiB).
pub(super) fn number(value: f64, expression: &str) -> Result<bool, Nonsense> {
    let Expression { operator, words } = parse(expression)?;
    let first = words.first().copied().unwrap_or_default();
    match operator {
        // A number never equals a text.
        None | Some("s==" | "<or>") => Ok(false),
        Some("s!=") => Ok(true),
        Some(operator) => numbers(value, operator, float(first)?),
    }
}

fn numbers(left: f64, operator: &str, right: f64) -> Result<bool, Nonsense> {
    Ok(match operator {
        "==" => left == right,
        "!=" => left != right,
        // For historical reasons `=` means "at least".
        "=" | ">=" => left >= right,
        "<=" => left <= right,
        ">" => left > right,
        "<" => left < right,
        _ => return Err(Nonsense::WrongOperator(operator.to_string())),
    })
}

/// A number in Python's spelling: `1e3`, `inf`, `1_000`.
fn float(text: &str) -> Result<f64, Nonsense> {
    without_underscores(strip(text))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Nonsense::NotANumber(text.to_string()))
}

/// Whether a text is an integer in Python's spelling and above 0; nothing when it is no integer.
pub(super) fn positive_integer(text: &str) -> Option<bool> {
    let text = strip(text);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = without_underscores(digits)?;
    let is_integer = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_integer.then(|| !negative && digits.bytes().any(|b| b != b'0'))
}

/// The digits of a number; nothing when an underscore stands elsewhere than between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let misplaced = |(at, byte): (usize, &u8)| *byte == b'_' && !(digit(at.checked_sub(1)) && digit(Some(at + 1)));
    (!bytes.iter().enumerate().any(misplaced)).then(|| text.replace('_', ""))
}
