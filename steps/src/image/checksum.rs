//! Checksum files: `SHA256SUMS`, BSD and OpenSSL lines, or one bare digest.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{Algorithm, Digest};

/// Why a checksum file has no digest for an image. The texts are those operators know from the Python agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumFileError {
    /// Nothing but white space.
    #[error("Empty checksum file")]
    Empty,
    /// One word that is no digest.
    #[error("Invalid checksum file (No valid checksum found) [{0:?}]")]
    Invalid(String),
    /// No line with a usable digest for the image.
    #[error("Checksum file does not contain name {0}")]
    NoName(String),
    /// Several files of the image's name, in different directories, whose digests differ.
    #[error("Checksum file has several files of the name {0} in different directories, with different checksums")]
    Ambiguous(String),
}

/// The name by which checksum files know an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// As it stands in the path.
    plain: String,
    /// What it stands for, where it is part of a URL: there `%20` is a space.
    decoded: String,
}

impl FileName {
    /// The last component of a URL's path (without query and fragment), or of a path.
    pub fn of(location: &str) -> Self {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
        if !location.contains("://") {
            let plain = last(location);
            return Self { decoded: plain.clone(), plain };
        }
        let plain = last(location.split(['?', '#']).next().unwrap_or_default());
        let decoded = percent_decode_str(&plain).decode_utf8().map_or_else(|_| plain.clone(), Cow::into_owned);
        Self { plain, decoded }
    }

    /// Whether `text`, a name in a checksum file, is this very name.
    fn is(&self, text: &str) -> bool {
        let text = text.strip_prefix("./").unwrap_or(text);
        text == self.plain || text == self.decoded
    }

    /// Whether `text`, a name in a checksum file, is this one behind directories: those of the machine it was made on.
    fn is_last_of(&self, text: &str) -> bool {
        text.rsplit_once(['/', '\\']).is_some_and(|(_, last)| self.is(last))
    }
}

/// The digest that the checksum file `body` gives for the file `name`: of `algorithm` if that is given, else the
/// longest (MD5, SHA-256 and SHA-512 are told apart by their length); the first of several. When no line has just that
/// name, those count that have it behind directories, unless they contradict each other.
///
/// # Errors
/// [`ChecksumFileError`] when there is none.
pub fn find(body: &str, name: &FileName, algorithm: Option<Algorithm>) -> Result<Digest, ChecksumFileError> {
    let body = body.strip_prefix('\u{feff}').unwrap_or(body);
    let lines: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err(ChecksumFileError::Empty);
    }
    if let [word] = lines[..]
        && !word.contains(char::is_whitespace)
        && !word.contains('(')
    {
        return digest(word, None, algorithm).ok_or_else(|| ChecksumFileError::Invalid(word.to_string()));
    }
    let digests = |is_name: &dyn Fn(&str) -> bool| -> Vec<Digest> {
        let lines = lines.iter().filter(|line| !line.starts_with('#'));
        let named = lines.filter_map(|line| named(line, is_name));
        named.filter_map(|(digits, tag)| digest(digits, tag, algorithm)).collect()
    };
    let mut found = digests(&|text| name.is(text));
    if found.is_empty() {
        found = digests(&|text| name.is_last_of(text));
        let differ = |a: &Digest, b: &Digest| a.algorithm == b.algorithm && a != b;
        if found.iter().any(|one| found.iter().any(|other| differ(one, other))) {
            return Err(ChecksumFileError::Ambiguous(name.decoded.clone()));
        }
    }
    // The first of the longest.
    let best = found.into_iter().reduce(|best, next| if next.value.len() > best.value.len() { next } else { best });
    best.ok_or_else(|| ChecksumFileError::NoName(name.decoded.clone()))
}

/// The digits, and the algorithm's tag if there is one, when `line` is about a file whose name `is_name`.
fn named<'a>(line: &'a str, is_name: &dyn Fn(&str) -> bool) -> Option<(&'a str, Option<&'a str>)> {
    // A line that begins with a backslash has escapes in its name (GNU coreutils, "md5sum invocation").
    let (line, is_escaped) = line.strip_prefix('\\').map_or((line, false), |line| (line, true));
    let is_name = |text: &str| match is_escaped {
        true => is_name(&text.replace("\\n", "\n").replace("\\\\", "\\")),
        false => is_name(text),
    };
    // BSD `TAG (name) = digits`, OpenSSL `TAG(name)= digits`; a name may hold brackets itself.
    if let Some((tag, rest)) = line.split_once('(')
        && let Some((inner, digits)) = rest.rsplit_once('=')
        && let Some(inner) = inner.trim_end().strip_suffix(')')
        && is_name(inner)
    {
        return Some((digits.trim(), Some(tag.trim())));
    }
    // GNU `digits  name`, `digits *name`.
    let (digits, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    (is_name(rest) || rest.strip_prefix('*').is_some_and(is_name)).then_some((digits, None))
}

/// `digits` as a digest of `wanted`, or of the algorithm that their tag, or their length, tells.
fn digest(digits: &str, tag: Option<&str>, wanted: Option<Algorithm>) -> Option<Digest> {
    let told = match tag {
        Some(tag) => Some(by_tag(tag)?),
        None => None,
    };
    if let (Some(told), Some(wanted)) = (told, wanted)
        && told != wanted
    {
        return None;
    }
    let by_length = || match digits.len() {
        32 => Some(Algorithm::Md5),
        64 => Some(Algorithm::Sha256),
        128 => Some(Algorithm::Sha512),
        _ => None,
    };
    Digest::from_hex(wanted.or(told).or_else(by_length)?, digits).ok()
}

/// `SHA256`, `SHA2-256` (OpenSSL 3) and `SHA3-256` are all in use.
fn by_tag(tag: &str) -> Option<Algorithm> {
    let tag = tag.to_ascii_lowercase().replace("sha2-", "sha").replace('-', "_");
    Algorithm::from_name(&tag).or_else(|| Algorithm::from_name(&tag.replacen("sha_", "sha", 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "image.qcow2";

    fn hex(digit: char, length: usize) -> String {
        String::from(digit).repeat(length)
    }

    /// `A`, `B`, `M`, `L` and `S` stand for two SHA-256 digests, an MD5, a SHA-512 and a SHA-1 one.
    fn expand(text: &str) -> String {
        let words = [("{A}", 'a', 64), ("{B}", 'b', 64), ("{M}", 'c', 32), ("{L}", 'd', 128), ("{S}", 'e', 40)];
        words.iter().fold(text.to_string(), |text, (word, digit, length)| text.replace(word, &hex(*digit, *length)))
    }

    fn found(text: &str, name: &str) -> String {
        match find(&expand(text), &FileName::of(name), None) {
            Ok(digest) => digest.hex(),
            Err(error) => error.to_string().split([' ', '(']).take(3).collect::<Vec<_>>().join(" "),
        }
    }

    #[test]
    fn files_that_the_python_agent_understands_mean_the_same() {
        let pgp = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSHA256 (image.qcow2) = {A}\n\
                   -----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCAAdFiEE\n-----END PGP SIGNATURE-----\n";
        for (row, text, digest) in [
            ("C1", "{A}  image.qcow2", "{A}"),
            ("C2", "{A} *image.qcow2", "{A}"),
            ("C3", "SHA256 (image.qcow2) = {A}", "{A}"),
            ("C4", "MD5 (image.qcow2) = {M}", "{M}"),
            ("C5", "{A}", "{A}"),
            ("C5", "{A}\n\n", "{A}"),
            ("C5", "{A}\r\n", "{A}"),
            ("C5", "{A}\t\n", "{A}"),
            ("C5", "  {A}", "{A}"),
            ("C6", "{B}  other.qcow2\n{A}  image.qcow2", "{A}"),
            ("C7", "# {A}  image.qcow2\n{B}  image.qcow2", "{B}"),
            ("C8", "{A}  image.qcow2\n{B}  image.qcow2", "{A}"),
            ("C9", "{L}  image.qcow2\n{A}  image.qcow2", "{L}"),
            ("C11", "{B}  my-image.qcow2\n{A}  image.qcow2", "{A}"),
            ("C12", "{B}  image.qcow2.asc\n{A}  image.qcow2", "{A}"),
            ("C14", pgp, "{A}"),
        ] {
            assert_eq!(found(text, NAME), expand(digest), "{row}");
        }
        assert_eq!(found("SHA256 () = {A}", ""), expand("{A}"), "C26");
    }

    #[test]
    fn defects_of_the_python_agent_are_mended() {
        let upper = hex('A', 64) + "  image.qcow2";
        for (row, text, digest) in [
            ("C10: the stronger", "{M}  image.qcow2\n{A}  image.qcow2", "{A}"),
            ("C13: a dot is a dot", "{B}  imageXqcow2\n{A}  image.qcow2", "{A}"),
            ("C15: upper case", upper.as_str(), "{A}"),
            ("C16: tab", "{A}\timage.qcow2", "{A}"),
            ("C17: ./", "{A}  ./image.qcow2", "{A}"),
            ("C20: OpenSSL", "SHA256(image.qcow2)= {A}", "{A}"),
            ("C20: OpenSSL 3", "SHA2-256(image.qcow2)= {A}", "{A}"),
            ("C22: byte order mark", "\u{feff}{A}", "{A}"),
        ] {
            assert_eq!(found(text, NAME), expand(digest), "{row}");
        }
        for name in ["a+b.qcow2", "a(1).qcow2", "img[1].raw", "*.raw"] {
            assert_eq!(found(&format!("{{A}}  {name}"), name), expand("{A}"), "C24 {name}");
            assert_eq!(found(&format!("SHA256 ({name}) = {{A}}"), name), expand("{A}"), "C24 {name}");
        }
    }

    #[test]
    fn files_without_a_digest_for_the_image_say_so() {
        for (row, text, error) in [
            ("C18", "{A}  other.qcow2", "Checksum file does"),
            ("C19", "{A}\n{B}", "Checksum file does"),
            ("C21", "image.qcow2 {A}", "Checksum file does"),
            ("C21", "image.qcow2: {A}", "Checksum file does"),
            ("C22", "{S}", "Invalid checksum file"),
            ("C22", "{S}  image.qcow2", "Checksum file does"),
            ("C22", "sha256:{A}", "Invalid checksum file"),
            ("C22", "<html><body>404</body></html>", "Invalid checksum file"),
            ("C23", "", "Empty checksum file"),
            ("C23", " \n\t\n", "Empty checksum file"),
            ("odd tag", "RMD256 (image.qcow2) = {A}", "Checksum file does"),
        ] {
            assert_eq!(found(text, NAME), error, "{row}");
        }
        assert_eq!(found("{A}  image.qcow2\n{B}  x", ""), "Checksum file does", "C26");
    }

    #[test]
    fn a_name_behind_directories_counts_when_no_line_has_just_the_name() {
        for text in [
            "{A}  /builds/out/image.qcow2",
            "{A} *images/image.qcow2",
            "SHA256 (out/image.qcow2) = {A}",
            "{A}  C:\\out\\image.qcow2",
            "{B}  old/image.qcow2\n{A}  image.qcow2",
            "{A}  a/image.qcow2\n{A}  b/image.qcow2\n{B}  b/other.qcow2",
            "{M}  a/image.qcow2\n{A}  b/image.qcow2",
        ] {
            assert_eq!(found(text, NAME), expand("{A}"), "{text}");
        }
        assert_eq!(found("{A}  a/image.qcow2\n{B}  b/image.qcow2", NAME), "Checksum file has");
        assert_eq!(found("{A}  a/my-image.qcow2", NAME), "Checksum file does");
        assert_eq!(found("{A}  image.qcow2/other", NAME), "Checksum file does");
    }

    #[test]
    fn the_name_in_a_url_is_compared_as_it_stands_and_decoded() {
        for (location, line) in [
            ("http://host/a/img%2B1%20a.raw?sig=1#x", "{A}  img+1 a.raw"),
            ("http://host/a/img%2B1%20a.raw", "{A}  img%2B1%20a.raw"),
            ("http://host/a/img%2B1%20a.raw", "SHA256 (out/img+1 a.raw) = {A}"),
            ("http://host/100%.raw", "{A}  100%.raw"),
            ("http://host/%ff.raw", "{A}  %ff.raw"),
            ("/srv/a%20b.raw", "{A}  a%20b.raw"),
            ("a#b?.raw", "{A}  a#b?.raw"),
            ("/srv/a\\b.raw", "\\{A}  a\\\\b.raw"),
        ] {
            assert_eq!(found(line, location), expand("{A}"), "{location}");
        }
        assert_eq!(found("{A}  a b.raw", "/srv/a%20b.raw"), "Checksum file does", "a path is no URL");
    }

    #[test]
    fn a_given_algorithm_chooses_its_digest() {
        let file = expand("{L}  image.qcow2\n{A}  image.qcow2\n{S}  image.qcow2\nSHA3-256 (image.qcow2) = {B}");
        let of = |algorithm| find(&file, &FileName::of(NAME), Some(algorithm)).map(|digest| digest.hex());
        assert_eq!(of(Algorithm::Sha256), Ok(expand("{A}")));
        assert_eq!(of(Algorithm::Sha1), Ok(expand("{S}")));
        assert_eq!(of(Algorithm::Sha512), Ok(expand("{L}")));
        assert!(of(Algorithm::Md5).is_err());
        assert!(find(&expand("{M}"), &FileName::of(NAME), Some(Algorithm::Sha256)).is_err());
        let tagged = expand("SHA256 (image.qcow2) = {A}\nSHA3-256 (image.qcow2) = {B}");
        assert_eq!(
            find(&tagged, &FileName::of(NAME), Some(Algorithm::Sha3_256)).map(|digest| digest.hex()),
            Ok(expand("{B}"))
        );
    }
}
