//! Values that end up in files, units and command lines: each is looked at where it enters.

use url::Url;

use super::ConfigError;
use crate::host_name;
use crate::image_reference::{ImageReference, check_location};

/// Returns the URL as given, because normalising it might change what it names.
pub(crate) fn checked_url(what: &'static str, url: &str, schemes: &[&str]) -> Result<String, ConfigError> {
    let error = |reason: String| ConfigError::Url { what, url: url.to_owned(), reason };
    let allowed = |character: char| character.is_ascii_graphic() && !"\"'`\\<>{}|^$,".contains(character);
    if !url.chars().all(allowed) {
        return Err(error("white space, quotes and the like must be percent-encoded".to_owned()));
    }
    let parsed = Url::parse(url).map_err(|cause| error(cause.to_string()))?;
    if !schemes.contains(&parsed.scheme()) {
        return Err(error(format!("must begin with {}", schemes.join(":// or ") + "://")));
    }
    Ok(url.to_owned())
}

pub(super) fn checked_image(reference: &str) -> Result<ImageReference, ConfigError> {
    reference.parse().map_err(|rule| ConfigError::Image { reference: reference.to_owned(), rule })
}

/// As containers-registries.conf(5) has it.
pub(super) fn registries_conf(
    image: &ImageReference,
    mirrors: &[String],
    insecure: bool,
) -> Result<String, ConfigError> {
    let registry = image.registry().ok_or_else(|| ConfigError::MirrorOfShortName(image.to_string()))?;
    let mut conf = format!("[[registry]]\nlocation = \"{registry}\"\ninsecure = {insecure}\n");
    for mirror in mirrors {
        check_location(mirror).map_err(|rule| ConfigError::Mirror { mirror: mirror.clone(), rule })?;
        conf.push_str(&format!("\n[[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = {insecure}\n"));
    }
    Ok(conf)
}

pub(super) fn checked_sha512(digest: &str) -> Result<String, ConfigError> {
    match hex::decode(digest) {
        Ok(bytes) if bytes.len() == 64 => Ok(digest.to_ascii_lowercase()),
        _ => Err(ConfigError::Digest(digest.to_owned())),
    }
}

pub(super) fn checked_hostname(name: &str) -> Result<&str, ConfigError> {
    if host_name::is_valid(name) { Ok(name) } else { Err(ConfigError::Hostname(name.to_owned())) }
}
