//! Contents: where they come from, and how they are checked.

use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::Url;

use super::super::data_url;
use super::{Findings, elements, filled};

/// A resource that may have no source.
pub(super) fn check(resource: &Value, place: &str, minor: u32, findings: &mut Findings) {
    // In the first version only files had it.
    let compression = filled(&resource["compression"]).filter(|_| minor >= 1 || place.starts_with("storage."));
    if let Some(compression) = compression.filter(|compression| *compression != "gzip") {
        findings.error(format!("{place}.compression"), format!("{compression:?} is not known, only gzip is"));
    }
    let source = resource["source"].as_str();
    if let Some(url) = filled(&resource["source"]) {
        if let Err(text) = check_source(url, minor) {
            findings.error(format!("{place}.source"), text);
        } else if let Some(Err(error)) = data_url::contents(resource) {
            findings.error(format!("{place}.source"), error);
        }
    }
    if let Some(hash) = resource["verification"]["hash"].as_str() {
        let place = format!("{place}.verification.hash");
        if source.is_none() {
            findings.error(&place, "there is no source to verify");
        }
        if let Err(text) = check_hash(hash, minor) {
            findings.error(&place, text);
        }
    }
    let headers = || elements(resource, place, "httpHeaders");
    if headers().next().is_some() && minor >= 1 {
        let scheme = source.and_then(scheme);
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            findings.error(format!("{place}.httpHeaders"), "only http and https have headers");
        }
        findings.unique(headers().map(|(place, header)| (place, header["name"].as_str())));
        for (place, header) in headers() {
            if header["name"] == "" {
                findings.error(format!("{place}.name"), "a header has no name");
            }
            if header["value"] == "" {
                findings.error(format!("{place}.value"), "a header has no value");
            }
        }
    }
}

/// A resource that must have a source.
pub(super) fn check_required(resource: &Value, place: &str, minor: u32, findings: &mut Findings) {
    if filled(&resource["source"]).is_none() {
        findings.error(format!("{place}.source"), "is missing");
    }
    check(resource, place, minor, findings);
}

/// The scheme of a URL.
pub(super) fn scheme(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once(':')?;
    let first = scheme.bytes().next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    (first.is_ascii_alphabetic() && scheme.bytes().all(plain)).then(|| scheme.to_ascii_lowercase())
}

fn check_source(url: &str, minor: u32) -> Result<(), String> {
    let scheme = scheme(url).ok_or("not a URL")?;
    if url.contains(|character: char| character.is_ascii_control()) {
        return Err("control characters in a URL".to_owned());
    }
    match scheme.as_str() {
        "data" => data_url::decode(url).map(|_| ()).map_err(|error| error.to_string()),
        "http" | "https" | "tftp" => Url::parse(url).map(|_| ()).map_err(|error| error.to_string()),
        "gs" if minor >= 2 => Ok(()),
        "s3" if minor >= 4 && has_empty_version(url) => Err("an empty versionId".to_owned()),
        "s3" => Ok(()),
        "arn" if minor >= 4 && has_empty_version(url) => Err("an empty versionId".to_owned()),
        "arn" if minor >= 4 => check_arn(url).ok_or_else(|| "not the ARN of an S3 object".to_owned()),
        _ => Err(format!("the scheme {scheme:?} is not known")),
    }
}

fn has_empty_version(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| percent_decode_str(pair).eq("versionId=".bytes()) || pair == "versionId")
}

/// `arn:PARTITION:s3:REGION:ACCOUNT:BUCKET/KEY`, or `…:accesspoint/NAME/object/KEY`.
fn check_arn(url: &str) -> Option<()> {
    let arn = url.split('?').next()?;
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, "s3", _, _, resource] = parts[..] else { return None };
    let needed = if resource.starts_with("accesspoint/") { 3 } else { 2 };
    (arn.split('/').count() >= needed).then_some(())
}

fn check_hash(hash: &str, minor: u32) -> Result<(), String> {
    let (function, sum) = hash.split_once('-').ok_or("not FUNCTION-SUM")?;
    let length = match function {
        "sha512" => 128,
        "sha256" if minor >= 1 => 64,
        _ => return Err(format!("the function {function:?} is not known")),
    };
    if sum.len() == length {
        Ok(())
    } else {
        Err(format!("a sum of {function} has {length} digits, not {}", sum.len()))
    }
}
