//! User data that is for somebody else than Ignition, by the marks that its readers go by.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What it is instead, as the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML that `butane` translates to Ignition's JSON.
    Butane,
    /// Compressed.
    Gzip,
    /// Several parts for cloud-init.
    Mime,
    /// YAML for cloud-init.
    CloudConfig,
    /// Further formats of cloud-init: `#include`, `## template: jinja`.
    CloudInit,
    /// A program for cloud-init or another first-boot service.
    Script,
    /// A document of a web server or a registry.
    Markup,
    /// A certificate or key.
    Pem,
    /// Coded once more than needed.
    Base64,
    /// JSON behind a byte order mark, which no JSON may have.
    ByteOrderMark,
    /// YAML of another kind.
    Yaml,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Butane => "a Butane config (YAML), which the butane program translates to an Ignition config",
            Self::Gzip => {
                "compressed by gzip; Ignition configs are plain JSON (contents inside of them may be compressed)"
            }
            Self::Mime => "a MIME multi-part document for cloud-init, not an Ignition config",
            Self::CloudConfig => "cloud-init's cloud-config, not an Ignition config",
            Self::CloudInit => "a document for cloud-init, not an Ignition config",
            Self::Script => "a script, not an Ignition config",
            Self::Markup => "HTML or XML, perhaps the error page of a server, not an Ignition config",
            Self::Pem => "a certificate or key (PEM), not an Ignition config",
            Self::Base64 => "an Ignition config in base64; give its JSON",
            Self::ByteOrderMark => "JSON behind a byte order mark; save it as UTF-8 without",
            Self::Yaml => "YAML, not an Ignition config (JSON)",
        })
    }
}

/// What text is that is not JSON; none when it has no known mark.
#[must_use]
pub fn recognise(text: &str) -> Option<Format> {
    if text.starts_with(['\u{1f}']) {
        return Some(Format::Gzip);
    }
    if let Some(rest) = text.strip_prefix('\u{feff}') {
        let format = recognise(rest);
        return format.or_else(|| rest.trim_start().starts_with('{').then_some(Format::ByteOrderMark));
    }
    let text = text.trim_start();
    let first_line = text.lines().next().unwrap_or_default().trim_end();
    let starts = |marks: &[&str]| marks.iter().any(|mark| text.starts_with(mark));
    if first_line == "#cloud-config" || first_line.starts_with("#cloud-config ") {
        return Some(Format::CloudConfig);
    }
    if starts(&["#cloud-config-archive", "#cloud-boothook", "#include", "#part-handler", "## template:", "#cloud-"]) {
        return Some(Format::CloudInit);
    }
    if starts(&["#!"]) {
        return Some(Format::Script);
    }
    if starts(&["-----BEGIN "]) {
        return Some(Format::Pem);
    }
    if starts(&["<"]) {
        return Some(Format::Markup);
    }
    if is_mime(text) {
        return Some(Format::Mime);
    }
    if let Some(decoded) = base64(text) {
        return match decoded {
            bytes if bytes.starts_with(&[0x1f, 0x8b]) => Some(Format::Gzip),
            bytes => {
                let inner = String::from_utf8(bytes).ok()?;
                if inner.trim_start().starts_with('{') { Some(Format::Base64) } else { recognise(&inner) }
            }
        };
    }
    yaml(text)
}

/// A header in front of everything else; mail programs put `From ` before it.
fn is_mime(text: &str) -> bool {
    text.lines().take_while(|line| !line.trim().is_empty()).take(20).any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("mime-version:")
            || line.starts_with("content-type: multipart/")
            || line.starts_with("content-type: text/")
    })
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.split_ascii_whitespace().collect();
    (packed.len() >= 16).then(|| STANDARD.decode(packed).ok()).flatten()
}

/// Lines of `key:` that begin a line; Butane has one that says `variant`.
fn yaml(text: &str) -> Option<Format> {
    let is_key = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    let mut keys = 0;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() || line.starts_with(['#', ' ', '\t', '-']) || line == "..." {
            continue;
        }
        let (key, value) = line.split_once(':')?;
        let key = key.trim_matches(['"', '\'']);
        if !is_key(key) || !(value.is_empty() || value.starts_with(' ')) {
            return None;
        }
        if key == "variant" {
            return Some(Format::Butane);
        }
        keys += 1;
    }
    (keys > 0).then_some(Format::Yaml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_of_others_is_called_what_it_is() {
        let butane = "# mine\nvariant: fcos\nversion: 1.5.0\nstorage:\n  files:\n    - path: /etc/x\n";
        let mime = "Content-Type: multipart/mixed; boundary=\"==1\"\nMIME-Version: 1.0\n\n--==1\n";
        for (text, format) in [
            (butane.to_owned(), Format::Butane),
            ("version: 1.4.0\nvariant: openshift\n".to_owned(), Format::Butane),
            ("---\nvariant: fcos\n".to_owned(), Format::Butane),
            ("\u{1f}\u{8b}\u{8}\0".to_owned(), Format::Gzip),
            ("\u{1f}\u{fffd}\u{8}\0".to_owned(), Format::Gzip),
            (STANDARD.encode([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2]), Format::Gzip),
            (mime.to_owned(), Format::Mime),
            (format!("From nobody Fri Jan  1 00:00:00 2026\n{mime}"), Format::Mime),
            (STANDARD.encode(mime), Format::Mime),
            ("#cloud-config\nusers: []\n".to_owned(), Format::CloudConfig),
            ("\r\n#cloud-config\r\n".to_owned(), Format::CloudConfig),
            ("#cloud-config-archive\n- type: x\n".to_owned(), Format::CloudInit),
            ("#include\nhttp://192.0.2.1/x\n".to_owned(), Format::CloudInit),
            ("## template: jinja\n#cloud-config\n".to_owned(), Format::CloudInit),
            ("#!/bin/sh\necho hello\n".to_owned(), Format::Script),
            ("<!DOCTYPE html><html></html>".to_owned(), Format::Markup),
            ("-----BEGIN CERTIFICATE-----\n".to_owned(), Format::Pem),
            (STANDARD.encode(r#"{"ignition":{"version":"3.2.0"}}"#), Format::Base64),
            ("\u{feff}{}".to_owned(), Format::ByteOrderMark),
            ("users:\n  - name: core\n".to_owned(), Format::Yaml),
        ] {
            assert_eq!(recognise(&text), Some(format), "{text}");
            assert!(!format.to_string().is_empty());
        }
    }

    #[test]
    fn broken_json_is_not_taken_for_something_else() {
        for text in [
            "{",
            "{\"ignition\": {\"version\": \"3.2.0\"}",
            "hello",
            "",
            "{ignition: {version: 3.2.0}}",
            "a sentence: of words",
        ] {
            assert!(!matches!(recognise(text), Some(format) if format != Format::Yaml), "{text}");
        }
        assert_eq!(recognise("{\"a\": }"), None);
        assert_eq!(recognise("two words: x"), None);
    }
}
