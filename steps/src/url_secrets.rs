//! Texts as logs, errors and results may show them: without the passwords, tokens and signatures in their URLs, command
//! lines and headers.

use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use regex::{Captures, Regex};

/// Stands for what is hidden.
pub const MASK: &str = "<...>";

/// Words in the name of a field, a parameter or a flag that say that its value opens something: `X-Amz-Signature`,
/// `X-Goog-Credential`, `--api-key`, `wpa_psk`.
const WORDS: [&str; 15] = [
    "password",
    "passphrase",
    "passwd",
    "token",
    "secret",
    "credential",
    "signature",
    "privatekey",
    "apikey",
    "accesskey",
    "psk",
    "cookie",
    "bearer",
    "authorization",
    "passcode",
];
/// Headers whose whole line is hidden.
const HEADERS: [&str; 5] = ["cookie:", "set-cookie:", "authorization:", "proxy-authorization:", "x-auth-token:"];
/// What comes before credentials in a header or a message.
const SCHEMES: [&str; 2] = ["bearer", "basic"];
/// What is shorter follows such a word as prose.
const LEAST_CREDENTIAL: usize = 8;
/// Of that length it is credentials whatever it looks like.
const LONG_CREDENTIAL: usize = 20;

/// Name and value of a parameter of a query.
static PARAMETER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"([?&])([^=&\s"']*)=([^&\s"'<>#]+)"#).ok());

/// Name and value of a field, as JSON and Python write them.
static FIELDS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [r#"(")([^"\\]+)("\s*:\s*")(?:[^"\\]|\\.)*""#, r"(')([^'\\]+)('\s*:\s*')(?:[^'\\]|\\.)*'"]
        .into_iter()
        .filter_map(|field| Regex::new(field).ok())
        .collect()
});

/// Whether the value of a field, a parameter or a flag of this name is secret, however the name is written.
pub fn is_secret(name: &str) -> bool {
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    let plain: String = decoded.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_lowercase();
    WORDS.iter().any(|word| plain.contains(word))
}

/// `text` with every secret in it hidden.
pub fn hide(text: &str) -> String {
    let text = hide_users(text);
    let text = match &*PARAMETER {
        Some(parameter) => parameter.replace_all(&text, hide_parameter).into_owned(),
        None => text,
    };
    let text = FIELDS.iter().fold(text, |text, field| field.replace_all(&text, hide_field).into_owned());
    text.split_inclusive('\n').map(hide_words).collect()
}

/// The flag's or variable's name at the start of a word, without what it is quoted by: `--password` of `"--password",`.
fn name_of(word: &str) -> &str {
    let word = word.trim_start_matches(['"', '\'', '[', '(', '{', ',']);
    let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.%".contains(c))).unwrap_or(word.len());
    &word[..end]
}

/// Whether the argument after this one is secret: `--password`, and not `--password=x`, which holds its value itself.
pub fn announces_secret(argument: &str) -> bool {
    let name = name_of(argument);
    name.starts_with('-') && is_secret(name) && !argument.contains('=')
}

fn hide_parameter(found: &Captures<'_>) -> String {
    let name = found[2].to_lowercase();
    // Azure, Swift.
    let is_signature = name == "sig" || name.ends_with("_sig") || name.ends_with("-sig");
    let value = if is_signature || is_secret(&name) { MASK } else { &found[3] };
    format!("{}{}={value}", &found[1], &found[2])
}

fn hide_field(found: &Captures<'_>) -> String {
    if is_secret(&found[2]) {
        format!("{}{}{}{MASK}{}", &found[1], &found[2], &found[3], &found[1])
    } else {
        found[0].to_string()
    }
}

/// Hides user and password of each URL. A user without a password may be a token.
fn hide_users(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, authority) = rest.split_at(start + 3);
        hidden.push_str(before);
        let end = authority.find(|c: char| "/?#\"".contains(c) || c.is_whitespace()).unwrap_or(authority.len());
        let (authority, after) = authority.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                hidden.push_str(MASK);
                hidden.push('@');
                hidden.push_str(host);
            }
            None => hidden.push_str(authority),
        }
        rest = after;
    }
    hidden.push_str(rest);
    hidden
}

/// What the word before says of the next one.
#[derive(Clone, Copy)]
enum Next {
    Shown,
    Secret,
    /// Secret when it looks like it.
    Credential,
    /// Secret up to the quote that ends it.
    Quoted(&'static str),
    /// Secret to the end of the line.
    Rest,
}

/// Hides what follows flags (`--password X`), names (`token=X`), schemes (`Bearer X`) and headers in one line.
fn hide_words(line: &str) -> String {
    // In an event as JSON the text ends at the quote, and the rest has to stay JSON.
    let is_json = line.starts_with('{');
    let mut hidden = String::with_capacity(line.len());
    let mut next = Next::Shown;
    for part in line.split_inclusive(char::is_whitespace) {
        let word = part.trim_end();
        if !word.is_empty() {
            let tail = if is_json { find(word, "\"").map_or("", |at| &word[at..]) } else { "" };
            let (shown, after) = match next {
                Next::Secret => hide_value(word, tail),
                Next::Credential if looks_like_credential(word) => hide_value(word, tail),
                Next::Quoted(quote) if find(word, quote).is_some() || !tail.is_empty() => hide_to(word, quote, tail),
                Next::Rest if !tail.is_empty() => (format!("{MASK}{tail}"), Next::Shown),
                Next::Quoted(_) | Next::Rest => (MASK.to_string(), next),
                Next::Credential | Next::Shown => hide_word(word, tail),
            };
            hidden.push_str(&shown);
            next = after;
        }
        hidden.push_str(&part[word.len()..]);
    }
    hidden
}

/// Where a quote is in `text`; one with a backslash before it is none.
fn find(text: &str, quote: &str) -> Option<usize> {
    text.match_indices(quote).map(|(at, _)| at).find(|at| !text[..*at].ends_with('\\'))
}

/// Hides a value, in quotes or not.
fn hide_value(word: &str, tail: &str) -> (String, Next) {
    for quote in ["\\\"", "\"", "'"] {
        if let Some(value) = word.strip_prefix(quote) {
            return if find(value, quote).is_some() {
                hide_to(value, quote, tail)
            } else {
                (MASK.to_string(), Next::Quoted(quote))
            };
        }
    }
    (format!("{MASK}{tail}"), Next::Shown)
}

/// Hides a value up to the quote that ends it, or to the end of the text that it stands in.
fn hide_to(value: &str, quote: &str, tail: &str) -> (String, Next) {
    let rest = find(value, quote).map_or(tail, |at| &value[at + quote.len()..]);
    (format!("{MASK}{rest}"), Next::Shown)
}

fn looks_like_credential(word: &str) -> bool {
    word.len() >= LONG_CREDENTIAL
        || (word.len() >= LEAST_CREDENTIAL && word.contains(|c: char| c.is_ascii_digit() || c == '='))
}

/// A word as it may be shown, and what it says of the next.
fn hide_word(word: &str, tail: &str) -> (String, Next) {
    let lower = word.to_lowercase();
    if HEADERS.iter().any(|header| lower.ends_with(header)) {
        return (word.to_string(), Next::Rest);
    }
    if SCHEMES.iter().any(|scheme| lower.ends_with(scheme)) {
        return (word.to_string(), Next::Credential);
    }
    let name = name_of(word);
    let at = word.find(name).unwrap_or_default() + name.len();
    if !name.is_empty() && word[at..].starts_with('=') && word.len() > at + 1 && is_secret(name) {
        let (value, after) = hide_value(&word[at + 1..], tail);
        return (format!("{}={value}", &word[..at]), after);
    }
    (word.to_string(), if announces_secret(word) { Next::Secret } else { Next::Shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_signatures_are_hidden() {
        for (given, shown) in [
            ("http://me:pw@host/a", "http://<...>@host/a"),
            ("clone https://ghp_16C7e42F@host/a.git", "clone https://<...>@host/a.git"),
            (
                "get https://h/a?X-Amz-Date=1&X-Amz-Signature=abc&x=2 now",
                "get https://h/a?X-Amz-Date=1&X-Amz-Signature=<...>&x=2 now",
            ),
            ("\"https://h/a?sv=1&sig=a%2Bb%3D\"", "\"https://h/a?sv=1&sig=<...>\""),
            ("https://h/a?temp_url_sig=12&temp_url_expires=3", "https://h/a?temp_url_sig=<...>&temp_url_expires=3"),
            ("https://h/a?ACCESS_TOKEN=x#part", "https://h/a?ACCESS_TOKEN=<...>#part"),
            ("?wait=true&agent_tok%65n=abc", "?wait=true&agent_tok%65n=<...>"),
            ("http://a:b@h?token=1 http://c:d@i?token=2", "http://<...>@h?token=<...> http://<...>@i?token=<...>"),
            ("podman login --username me --password X host", "podman login --username me --password <...> host"),
            ("--password=X --passphrase 'a b c' end", "--password=<...> --passphrase <...> <...> <...> end"),
            ("[\"--wpa-psk\", \"X\"]\nnext line", "[\"--wpa-psk\", <...>]\nnext line"),
            ("BOOT_IMAGE=/vmlinuz ipa-agent-token=abc quiet", "BOOT_IMAGE=/vmlinuz ipa-agent-token=<...> quiet"),
            (r#"{"bmc": 1, "redfish_password": "X", "b": 2}"#, r#"{"bmc": 1, "redfish_password": "<...>", "b": 2}"#),
            ("{'bmc_password':'X'}", "{'bmc_password':'<...>'}"),
            (
                r#"{"fields":{"message":"podman login --password X"},"target":"t"}"#,
                r#"{"fields":{"message":"podman login --password <...>"},"target":"t"}"#,
            ),
            (
                r#"{"message":"run --token \"a b\" now; Authorization: Basic YTpi","line":1}"#,
                r#"{"message":"run --token <...> <...> now; Authorization: <...> <...>","line":1}"#,
            ),
            ("got Bearer eyJhbGciOi1 from it", "got Bearer <...> from it"),
            ("Set-Cookie: a=b; Path=/\nServer: x", "Set-Cookie: <...> <...>\nServer: x"),
        ] {
            assert_eq!(hide(given), shown);
        }
    }

    #[test]
    fn the_rest_stays() {
        for text in [
            "get http://host:80/a@b then ftp://host",
            "http://h/?design=1&sigma=2&signed=3",
            "a&b sig=1 ?",
            "the server wants Bearer or basic authentication",
            "no token was given; --verbose  --dry-run\n\n  x = 1\r\n",
        ] {
            assert_eq!(hide(text), text);
        }
    }
}
