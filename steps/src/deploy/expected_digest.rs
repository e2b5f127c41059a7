//! Which digest the image must have, from the three ways to say it.

use super::image_info::{ImageInfo, is_url};
use crate::fetch::fetch;
use crate::http::HttpOptions;
use crate::image::checksum::{self, FileName};
use crate::image::{Algorithm, Digest, Location};
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// A checksum file is a few lines; servers that send more are not serving one.
const FILE_LIMIT_BYTES: usize = 1 << 20;

/// What the conductor said, before a checksum file is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Digest(Digest),
    File { url: String, algorithm: Option<Algorithm> },
}

/// The digest that the image must have: by `os_hash_algo` when that is known, else by `checksum`, whose length tells the
/// algorithm. Either may be the URL of a checksum file, which is fetched.
///
/// # Errors
/// [`ErrorKind::Rest`] when there is no usable one; [`ErrorKind::ImageDownload`] when the file cannot be had or has none
/// for this image; [`ErrorKind::ImageChecksum`] when the value cannot be a digest of its algorithm.
pub async fn of_image(info: &ImageInfo, http: &HttpOptions, step: &Step) -> Result<Digest, StepError> {
    let md5_enabled = step.site.options.image.md5;
    match said(info, md5_enabled)? {
        Said::Digest(digest) => Ok(digest),
        Said::File { url, algorithm } => {
            let failed = || {
                let file = Location::shown(&url);
                ErrorKind::ImageDownload.error(format!("Download of image {} failed: checksum file {file}", info.id))
            };
            let body = fetch(&url, http, FILE_LIMIT_BYTES, step).await.map_err(|error| failed().because(error))?;
            let name = FileName::of(&info.urls[0]);
            let digest = checksum::find(&String::from_utf8_lossy(&body), &name, algorithm);
            let digest = digest.map_err(|error| failed().because(error))?;
            if digest.algorithm == Algorithm::Md5 && algorithm.is_none() && !md5_enabled {
                return Err(unidentified(info, MD5_DISABLED));
            }
            Ok(digest)
        }
    }
}

const MD5_DISABLED: &str = "MD5 support is disabled, and support will be removed in a 2024 version of Ironic.";

fn said(info: &ImageInfo, md5_enabled: bool) -> Result<Said, StepError> {
    let name = info.os_hash_algo.as_deref().unwrap_or_default();
    if let (Some(algorithm), Some(value)) = (Algorithm::from_name(name), &info.os_hash_value) {
        return read(info, algorithm, value);
    }
    match &info.checksum {
        Some(url) if is_url(url) && name.is_empty() => Ok(Said::File { url: url.clone(), algorithm: None }),
        Some(value) if !is_url(value) => {
            let algorithm = match without_prefix(value).len() {
                128 => Algorithm::Sha512,
                64 => Algorithm::Sha256,
                32 if md5_enabled => Algorithm::Md5,
                32 => return Err(unidentified(info, MD5_DISABLED)),
                _ => {
                    return Err(unidentified(
                        info,
                        "Unable to identify checksum algorithm used, and a value is not specified in the os_hash_algo \
                         setting.",
                    ));
                }
            };
            read(info, algorithm, value)
        }
        _ => Err(ErrorKind::Rest.error(format!(
            "Unable to verify image {} with available checksums. Please make sure the specified 'os_hash_algo' \
             (currently {}) is supported by this ramdisk, or provide a md5 checksum via the 'checksum' field",
            info.id,
            info.os_hash_algo.as_deref().unwrap_or("None")
        ))),
    }
}

fn unidentified(info: &ImageInfo, reason: &str) -> StepError {
    ErrorKind::Rest.error(format!(
        "Unable to proceed with image {} as the checksum indicator has been used but the algorithm could not be \
         identified. Error: {reason}",
        info.id
    ))
}

fn read(info: &ImageInfo, algorithm: Algorithm, value: &str) -> Result<Said, StepError> {
    if is_url(value) {
        return Ok(Said::File { url: value.to_string(), algorithm: Some(algorithm) });
    }
    Digest::from_hex(algorithm, without_prefix(value)).map(Said::Digest).map_err(|reason| {
        ErrorKind::ImageChecksum.error(format!("The checksum of image {} cannot be used", info.id)).because(reason)
    })
}

/// `sha256:0123…` is how the conductor writes it elsewhere.
fn without_prefix(value: &str) -> &str {
    match value.split_once(':') {
        Some((name, digits)) if Algorithm::from_name(name).is_some() => digits.trim(),
        _ => value.trim(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SHA256: &str = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";

    fn info(mut fields: Value) -> ImageInfo {
        fields["id"] = "image".into();
        fields["urls"] = json!(["http://host/image.raw"]);
        ImageInfo::parse(&fields, true).unwrap()
    }

    fn digest(fields: Value) -> String {
        match said(&info(fields), true).unwrap() {
            Said::Digest(digest) => digest.to_string(),
            file => panic!("{file:?}"),
        }
    }

    #[test]
    fn the_named_algorithm_beats_the_checksum() {
        let md5 = "0".repeat(32);
        let fields = json!({"os_hash_algo": "sha256", "os_hash_value": SHA256, "checksum": md5});
        assert_eq!(digest(fields), format!("sha256:{}", SHA256.to_lowercase()));
    }

    #[test]
    fn an_unknown_algorithm_leaves_the_checksum_to_decide() {
        let fields = json!({"os_hash_algo": "SHA256", "os_hash_value": "x", "checksum": SHA256});
        assert_eq!(digest(fields), format!("sha256:{}", SHA256.to_lowercase()));
    }

    #[test]
    fn the_length_tells_the_algorithm_and_a_prefix_is_understood() {
        assert_eq!(digest(json!({"checksum": "1".repeat(128)})), format!("sha512:{}", "1".repeat(128)));
        assert_eq!(digest(json!({"checksum": "1".repeat(32)})), format!("md5:{}", "1".repeat(32)));
        assert_eq!(
            digest(json!({"checksum": format!("sha256:{SHA256}")})),
            format!("sha256:{}", SHA256.to_lowercase())
        );
    }

    #[test]
    fn a_url_is_a_checksum_file() {
        let url = "HTTPS://host/SHA256SUMS";
        let with_algorithm = info(json!({"os_hash_algo": "sha512", "os_hash_value": url}));
        assert_eq!(
            said(&with_algorithm, true).unwrap(),
            Said::File { url: url.into(), algorithm: Some(Algorithm::Sha512) }
        );
        let bare = info(json!({"checksum": url}));
        assert_eq!(said(&bare, true).unwrap(), Said::File { url: url.into(), algorithm: None });
    }

    fn refusal(info: &ImageInfo, md5_enabled: bool) -> String {
        let error = said(info, md5_enabled).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Rest);
        error.to_string()
    }

    #[test]
    fn what_cannot_be_used_is_refused_as_the_python_agent_does() {
        let md5 = info(json!({"checksum": "1".repeat(32)}));
        let text = refusal(&md5, false);
        assert!(text.contains("MD5 support is disabled"), "{text}");
        let odd = info(json!({"checksum": "1".repeat(40)}));
        let text = refusal(&odd, true);
        assert!(text.contains("Unable to identify checksum algorithm used"), "{text}");
        let unknown = info(json!({"os_hash_algo": "shake_256", "os_hash_value": "1"}));
        let text = refusal(&unknown, true);
        assert!(text.contains("(currently shake_256)"), "{text}");
    }

    #[test]
    fn a_value_of_the_wrong_length_is_refused_before_anything_is_downloaded() {
        let short = info(json!({"os_hash_algo": "sha256", "os_hash_value": "abcd"}));
        assert_eq!(said(&short, true).unwrap_err().kind, ErrorKind::ImageChecksum);
    }
}
