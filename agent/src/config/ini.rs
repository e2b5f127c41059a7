//! Configuration files: sections, `key = value` or `key: value`, comment lines, indented continuation lines.

use std::collections::BTreeMap;

/// The settings of one file: section, then key. A repeated key keeps its last value.
pub type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// A line that is no configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Parses the text of a configuration file.
///
/// # Errors
/// The first line that has no meaning: a key before any section, a line without separator, an unclosed section.
pub fn parse(text: &str) -> Result<Sections, SyntaxError> {
    let mut sections = Sections::new();
    let mut section: Option<String> = None;
    let mut last_key: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let error = |reason| SyntaxError { line: index + 1, reason };
        let content = line.trim();
        if content.is_empty() {
            last_key = None;
            continue;
        }
        if content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let key = last_key.as_ref().ok_or_else(|| error("a continuation line without a key before it"))?;
            let values = section.as_ref().and_then(|section| sections.get_mut(section));
            if let Some(value) = values.and_then(|values| values.get_mut(key)) {
                value.push('\n');
                value.push_str(content);
            }
            continue;
        }
        if let Some(rest) = content.strip_prefix('[') {
            let name = rest.strip_suffix(']').ok_or_else(|| error("a section without closing bracket"))?.trim();
            if name.is_empty() {
                return Err(error("a section without a name"));
            }
            sections.entry(name.to_string()).or_default();
            section = Some(name.to_string());
            last_key = None;
            continue;
        }
        let at = content.find(['=', ':']).ok_or_else(|| error("neither section, comment nor key = value"))?;
        let key = content[..at].trim();
        if key.is_empty() {
            return Err(error("a value without a key"));
        }
        let section = section.as_ref().ok_or_else(|| error("a key before the first section"))?;
        let value = unquote(content[at + 1..].trim());
        sections.entry(section.clone()).or_default().insert(key.to_string(), value.to_string());
        last_key = Some(key.to_string());
    }
    Ok(sections)
}

/// One pair of equal quotes around the whole value is removed.
fn unquote(value: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_of_configuration_files() {
        let text = "# comment\n[DEFAULT]\napi_url = http://a = b # not a comment\ninsecure:yes\napi_url=http://c\n\
                    ; comment\nrun_options = --rm,\n   --network=host\n\n[mdns]\nparams=\n[container]\nquoted = \"x y\"\n";
        let parsed = parse(text).unwrap();
        assert_eq!(parsed["DEFAULT"]["api_url"], "http://c");
        assert_eq!(parsed["DEFAULT"]["insecure"], "yes");
        assert_eq!(parsed["DEFAULT"]["run_options"], "--rm,\n--network=host");
        assert_eq!(parsed["mdns"]["params"], "");
        assert_eq!(parsed["container"]["quoted"], "x y");
        assert_eq!(parse("[a]\nk = v # kept").unwrap()["a"]["k"], "v # kept");
    }

    #[test]
    fn meaningless_lines_are_errors_with_their_number() {
        for (text, line) in [("x=1", 1), ("[a]\nnothing", 2), ("[a", 1), ("[a]\n = v", 2), ("[a]\n= v", 2), ("[]", 1)] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
