//! The text of one hint: `[operator] value [operator value]…`.
//!
//! The grammar is that of oslo.utils' `specs_matcher`, used twice as Ironic does: once on what the user wrote, to
//! encode the values, and once on the encoded text, to compare. Values of devices go through the same encoding.

/// Operators with one operand, in the order in which they are tried.
const SINGLE: [&str; 14] = ["==", "=", "!=", "<in>", ">=", "<=", ">", "<", "s==", "s!=", "s<=", "s<", "s>=", "s>"];

const OR: &str = "<or>";
const ALL_IN: &str = "<all-in>";
const RANGE_IN: &str = "<range-in>";

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression<'a> {
    /// Nothing for a plain value.
    pub(super) operator: Option<&'static str>,
    /// The words after the operator; the first word only, except for operators that take more.
    pub(super) words: Vec<&'a str>,
}

/// The text has no reading in the grammar: an operator without its operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Blanks as Python sees them: Unicode's, and the four separators of ASCII.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Text without the blanks around it.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// Parses the beginning of `text`; what follows the last operand is ignored.
pub(super) fn parse(text: &str) -> Result<Expression<'_>, Unreadable> {
    if let Some(words) = disjunction(text) {
        return Ok(Expression { operator: Some(OR), words });
    }
    if let Some(rest) = literal(text, ALL_IN) {
        let words = words(rest, usize::MAX);
        if !words.is_empty() {
            return Ok(Expression { operator: Some(ALL_IN), words });
        }
    }
    if let Some(rest) = literal(text, RANGE_IN) {
        let words = words(rest, 4);
        if words.len() == 4 {
            return Ok(Expression { operator: Some(RANGE_IN), words });
        }
    }
    for operator in SINGLE {
        if let Some(rest) = literal(text, operator) {
            // The first operator that is there is the operator, also when another would find its operand.
            let (word, _) = word(rest).ok_or(Unreadable)?;
            return Ok(Expression { operator: Some(operator), words: vec![word] });
        }
    }
    let (word, _) = word(text).ok_or(Unreadable)?;
    Ok(Expression { operator: None, words: vec![word] })
}

fn disjunction(text: &str) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((found, after)) = literal(rest, OR).and_then(word) {
        words.push(found);
        rest = after;
    }
    (!words.is_empty()).then_some(words)
}

fn words(mut text: &str, limit: usize) -> Vec<&str> {
    let mut words = Vec::new();
    while words.len() < limit {
        let Some((found, after)) = word(text) else { break };
        words.push(found);
        text = after;
    }
    words
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

fn literal<'a>(text: &'a str, literal: &str) -> Option<&'a str> {
    skip_blanks(text).strip_prefix(literal)
}

/// A run of non-blanks that does not begin with an operator, and what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = skip_blanks(text);
    let operators = SINGLE.iter().chain(&[OR, ALL_IN, RANGE_IN]);
    if operators.into_iter().any(|operator| text.starts_with(operator)) {
        return None;
    }
    let end = text.find(is_blank).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The operator of `text` and all operands: what stands between its occurrences. `text` is stripped and in lower case.
pub(super) fn operands(text: &str) -> Result<(Option<&'static str>, Vec<&str>), Unreadable> {
    Ok(match parse(text)?.operator {
        None => (None, vec![text]),
        Some(operator) => {
            let pieces = text.split(operator).filter(|piece| !piece.is_empty());
            (Some(operator), pieces.map(strip).collect())
        }
    })
}

/// The comparable form: lower case, every operand percent-encoded (RFC 3986, `/` stays), operators in between.
/// Nothing when the text is empty.
pub(super) fn normalize(text: &str) -> Result<Option<String>, Unreadable> {
    let text = strip(text).to_lowercase();
    if text.is_empty() {
        return Ok(None);
    }
    let (operator, values) = operands(&text)?;
    let operator = operator.unwrap_or_default();
    let values: Vec<String> = values.into_iter().map(|value| format!(" {} ", encode(value))).collect();
    Ok(Some(strip(&format!("{operator}{}", values.join(operator))).to_string()))
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
