//! URLs as logs, errors and results may show them: without passwords, and without what signs a request.

use std::sync::LazyLock;

use regex::Regex;

/// Stands for what is hidden.
const MASK: &str = "<...>";

/// A parameter of a query, by a name that says that its value opens something: `X-Amz-Signature`, `sig` (Azure),
/// `temp_url_sig` (Swift), `X-Goog-Credential`, `token`. The name is the first group.
static SECRET_PARAMETER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let word = "signature|token|password|secret|credential|api[-_]?key|access[-_]?key";
    let name = r#"[^=&\s"']*"#;
    Regex::new(&format!(r#"(?i)([?&](?:{name}(?:{word}){name}|(?:{name}[-_])?sig)=)[^&\s"'<>#]+"#)).ok()
});

/// `text` with every secret of the URLs in it hidden.
pub fn hide(text: &str) -> String {
    let text = hide_users(text);
    match &*SECRET_PARAMETER {
        Some(secret) => secret.replace_all(&text, format!("${{1}}{MASK}")).into_owned(),
        None => text,
    }
}

/// Hides user and password of each URL.
fn hide_users(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, authority) = rest.split_at(start + 3);
        hidden.push_str(before);
        let end = authority.find(|c: char| "/?#\"".contains(c) || c.is_whitespace()).unwrap_or(authority.len());
        let (authority, after) = authority.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => {
                hidden.push_str(MASK);
                hidden.push('@');
                hidden.push_str(host);
            }
            _ => hidden.push_str(authority),
        }
        rest = after;
    }
    hidden.push_str(rest);
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_signatures_are_hidden() {
        for (given, shown) in [
            ("http://me:pw@host/a", "http://<...>@host/a"),
            (
                "get https://h/a?X-Amz-Date=1&X-Amz-Signature=abc&x=2 now",
                "get https://h/a?X-Amz-Date=1&X-Amz-Signature=<...>&x=2 now",
            ),
            ("\"https://h/a?sv=1&sig=a%2Bb%3D\"", "\"https://h/a?sv=1&sig=<...>\""),
            ("https://h/a?temp_url_sig=12&temp_url_expires=3", "https://h/a?temp_url_sig=<...>&temp_url_expires=3"),
            ("https://h/a?ACCESS_TOKEN=x#part", "https://h/a?ACCESS_TOKEN=<...>#part"),
            ("http://a:b@h?token=1 http://c:d@i?token=2", "http://<...>@h?token=<...> http://<...>@i?token=<...>"),
        ] {
            assert_eq!(hide(given), shown);
        }
    }

    #[test]
    fn the_rest_stays() {
        for text in ["get http://host:80/a@b then ftp://me@host", "http://h/?design=1&sigma=2&signed=3", "a&b sig=1 ?"]
        {
            assert_eq!(hide(text), text);
        }
    }
}
