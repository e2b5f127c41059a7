//! What the conductor says about an image: `image_info` of `write_image` and `prepare_image`. Unknown keys are ignored,
//! and `null` is as good as absent.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::http::{Authorization, HttpOptions};
use crate::image::oci;
use crate::options::Options;
use crate::{ErrorKind, StepError};

/// An image as described by the conductor, checked.
#[derive(Clone)]
pub struct ImageInfo {
    /// Its name or Glance UUID. Never a path.
    pub id: String,
    /// Where it is; the next is tried when one fails.
    pub urls: Vec<String>,
    /// `raw`, `qcow2`…
    pub disk_format: Option<String>,
    /// A digest without its algorithm, or the URL of a checksum file.
    pub checksum: Option<String>,
    /// Name of the hash algorithm.
    pub os_hash_algo: Option<String>,
    /// The digest by that algorithm, or the URL of a checksum file.
    pub os_hash_value: Option<String>,
    /// `uefi` or `bios`; only partition images have it.
    pub boot_mode: Option<String>,
    /// `gpt` or `msdos`; only partition images have it.
    pub disk_label: Option<String>,
    /// Partitions to make, when it is the image of one file system and not of a disk.
    pub layout: Option<PartitionLayout>,
    /// The config drive, when it is not an argument of its own.
    pub configdrive: Option<Value>,
    authorization: Result<Option<Authorization>, String>,
    proxies: BTreeMap<String, String>,
    no_proxy: Option<String>,
}

/// The partitions of a partition image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLayout {
    /// Size of the root partition in MiB.
    pub root_mib: u64,
    /// Size of the swap partition in MiB; 0 for none.
    pub swap_mib: u64,
    /// Size of the ephemeral partition in MiB; 0 for none.
    pub ephemeral_mib: u64,
    /// File system of the ephemeral partition.
    pub ephemeral_format: String,
    /// Keep the partitions and the ephemeral file system that are there.
    pub preserve_ephemeral: bool,
}

impl fmt::Debug for ImageInfo {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageInfo")
            .field("id", &self.id)
            .field("disk_format", &self.disk_format)
            .finish_non_exhaustive()
    }
}

impl ImageInfo {
    /// Reads and checks `image_info`. An MD5 `checksum` counts only when `md5_enabled`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameters`] in the words of the Python agent.
    pub fn parse(info: &Value, md5_enabled: bool) -> Result<Self, StepError> {
        for field in ["id", "urls"] {
            if info.get(field).is_none() {
                return Err(invalid(&format!("Image is missing '{field}' field.")));
            }
        }
        let urls = info["urls"].as_array().filter(|urls| !urls.is_empty());
        let urls = urls.ok_or_else(|| invalid("Image 'urls' must be a list with at least one element."))?;
        let urls: Option<Vec<String>> = urls.iter().map(|url| url.as_str().map(str::to_string)).collect();
        let urls = urls.ok_or_else(|| invalid("Image 'urls' must be a list of strings."))?;
        let checksum = match &info["checksum"] {
            Value::Null => None,
            value => Some(filled(value).ok_or_else(|| invalid("Image 'checksum' must be a non-empty string."))?),
        };
        let hash = [&info["os_hash_algo"], &info["os_hash_value"]];
        if hash.iter().any(|value| is_truthy(value)) {
            for (value, field) in hash.iter().zip(["os_hash_algo", "os_hash_value"]) {
                filled(value).ok_or_else(|| invalid(&format!("Image '{field}' must be a non-empty string.")))?;
            }
        }
        let usable = checksum.as_ref().is_some_and(|text| is_url(text) || text.len() > 32 || md5_enabled);
        // A registry knows the digests of what it holds.
        let in_registry = urls.iter().all(|url| url.starts_with(oci::SCHEME));
        if !usable && filled(hash[0]).is_none() && !in_registry {
            return Err(invalid(
                "Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and 'os_hash_value' \
                 fields pair must be set for image verification.",
            ));
        }
        Ok(Self {
            id: info["id"].as_str().map_or_else(|| info["id"].to_string(), str::to_string),
            urls,
            disk_format: filled(&info["disk_format"]),
            checksum,
            os_hash_algo: filled(hash[0]),
            os_hash_value: filled(hash[1]),
            boot_mode: filled(&info["deploy_boot_mode"]),
            disk_label: filled(&info["disk_label"]),
            layout: layout(info)?,
            configdrive: Some(info["configdrive"].clone()).filter(|value| !value.is_null()),
            authorization: authorization(info)?,
            proxies: proxies(&info["proxies"]),
            no_proxy: filled(&info["no_proxy"]),
        })
    }

    /// Whether somebody said what the image's digest is.
    pub fn has_checksum(&self) -> bool {
        self.checksum.is_some() || self.os_hash_value.is_some()
    }

    /// How to ask the image's servers: who we are by the image, else by the options; proxies; certificates.
    ///
    /// # Errors
    /// [`ErrorKind::ImageDownload`] when user or password is missing.
    pub fn http_options(&self, options: &Options) -> Result<HttpOptions, StepError> {
        let authorization = match self.authorization.clone() {
            Ok(None) => match &options.download.basic_login {
                Some(login) => basic(login.user.as_deref(), login.password.as_deref()).map(Some),
                None => Ok(None),
            },
            other => other,
        };
        let authorization = authorization.map_err(|missing| {
            ErrorKind::ImageDownload.error(format!("Download of image {} failed", self.id)).because(missing)
        })?;
        Ok(HttpOptions {
            authorization,
            proxies: self.proxies.clone().into_iter().collect(),
            no_proxy: self.no_proxy.clone(),
            ..HttpOptions::of(&options.tls)
        })
    }
}

/// True for what is fetched instead of taken literally.
pub fn is_url(text: &str) -> bool {
    let start = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    start.starts_with("http://") || start.starts_with("https://")
}

fn invalid(details: &str) -> StepError {
    ErrorKind::InvalidParameters.error(details.to_string())
}

fn filled(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_string)
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// The `Authorization` header of the image, else user and password, else what is missing of them.
fn authorization(info: &Value) -> Result<Result<Option<Authorization>, String>, StepError> {
    if let Some(encoded) = filled(&info["image_request_authorization"]) {
        let header = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let header = header.ok_or_else(|| invalid("Image 'image_request_authorization' is not base64 of a text."))?;
        return Ok(Ok(Some(Authorization::Header(header))));
    }
    if info["image_server_auth_strategy"] != "http_basic" {
        return Ok(Ok(None));
    }
    Ok(basic(info["image_server_user"].as_str(), info["image_server_password"].as_str()).map(Some))
}

fn basic(user: Option<&str>, password: Option<&str>) -> Result<Authorization, String> {
    let filled = |value: Option<&str>| value.filter(|text| !text.is_empty()).map(str::to_string);
    match (filled(user), filled(password)) {
        (Some(user), Some(password)) => Ok(Authorization::Basic(user, password)),
        (user, password) => {
            let missing: Vec<&str> = [("'user'", user.is_none()), ("'password'", password.is_none())]
                .into_iter()
                .filter_map(|(name, missing)| missing.then_some(name))
                .collect();
            Err(format!("Missing [{}] fields from HTTP(S) basic auth config", missing.join(", ")))
        }
    }
}

fn proxies(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(scheme, url)| Some((scheme.clone(), filled(url)?))).collect()
}

fn layout(info: &Value) -> Result<Option<PartitionLayout>, StepError> {
    if info["image_type"] != "partition" {
        return Ok(None);
    }
    let mib = |field: &str| match &info[field] {
        Value::Null => Ok(0),
        Value::Number(number) => number.as_u64().ok_or(field.to_string()),
        Value::String(text) => text.trim().parse().map_err(|_| field.to_string()),
        _ => Err(field.to_string()),
    };
    let sizes: Result<Vec<u64>, String> =
        ["root_mb", "root_gb", "swap_mb", "ephemeral_mb"].map(mib).into_iter().collect();
    let sizes = sizes.map_err(|field| invalid(&format!("Image '{field}' must be a whole number.")))?;
    let root_mib = if sizes[0] > 0 { sizes[0] } else { sizes[1].saturating_mul(1024) };
    if root_mib == 0 {
        return Err(invalid("Image 'root_mb' must be set for a partition image."));
    }
    // No disk has this many MiB: all sums of them can be counted in bytes.
    if sizes.iter().any(|size| *size > u64::from(u32::MAX)) || root_mib > u64::from(u32::MAX) {
        return Err(invalid("The partitions of the image are larger than any disk."));
    }
    Ok(Some(PartitionLayout {
        root_mib,
        swap_mib: sizes[2],
        ephemeral_mib: sizes[3],
        ephemeral_format: filled(&info["ephemeral_format"]).unwrap_or_else(|| "ext4".to_string()),
        preserve_ephemeral: info["preserve_ephemeral"].as_bool().unwrap_or_default(),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::options::BasicLogin;

    fn refusal(info: Value, md5_enabled: bool) -> String {
        match ImageInfo::parse(&info, md5_enabled) {
            Err(error) if error.kind == ErrorKind::InvalidParameters => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refusals_are_those_of_the_python_agent() {
        let unavailable = "Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and \
                           'os_hash_value' fields pair must be set for image verification.";
        let list = "Image 'urls' must be a list with at least one element.";
        let checksum = "Image 'checksum' must be a non-empty string.";
        for (info, expected) in [
            (json!({}), "Image is missing 'id' field."),
            (json!({"id": "i"}), "Image is missing 'urls' field."),
            (json!({"id": "i", "urls": []}), list),
            (json!({"id": "i", "urls": "http://h/i"}), list),
            (json!({"id": "i", "urls": ["u"], "checksum": ""}), checksum),
            (json!({"id": "i", "urls": ["u"], "checksum": 5}), checksum),
            (
                json!({"id": "i", "urls": ["u"], "os_hash_value": "a"}),
                "Image 'os_hash_algo' must be a non-empty string.",
            ),
            (
                json!({"id": "i", "urls": ["u"], "os_hash_algo": "a"}),
                "Image 'os_hash_value' must be a non-empty string.",
            ),
            (json!({"id": "i", "urls": ["u"]}), unavailable),
            (json!({"id": "i", "urls": ["u"], "checksum": null, "os_hash_algo": null}), unavailable),
            (json!({"id": "i", "urls": ["u"], "checksum": "0123456789abcdef0123456789abcdef"}), unavailable),
        ] {
            assert_eq!(refusal(info.clone(), false), expected, "{info}");
        }
    }

    #[test]
    fn a_short_checksum_counts_when_md5_is_enabled() {
        let info = json!({"id": "i", "urls": ["u"], "checksum": "abc"});
        assert_eq!(ImageInfo::parse(&info, true).unwrap().checksum.as_deref(), Some("abc"));
    }

    #[test]
    fn null_is_as_good_as_absent_and_unknown_keys_are_ignored() {
        let info = json!({"id": "i", "urls": ["u"], "os_hash_algo": "sha256", "os_hash_value": "v", "checksum": null,
            "disk_format": null, "proxies": null, "no_proxy": null, "image_server_user": null, "configdrive": null,
            "image_request_authorization": null, "node_uuid": "n", "colour": "red"});
        let info = ImageInfo::parse(&info, false).unwrap();
        assert_eq!((info.disk_format, info.layout, info.configdrive), (None, None, None));
    }

    #[test]
    fn the_header_of_the_image_beats_user_and_password_of_the_options() {
        let mut options = Options::default();
        options.download.basic_login = Some(BasicLogin { user: Some("me".into()), password: Some("pw".into()) });
        let mut info = json!({"id": "i", "urls": ["u"], "checksum": "http://h/SHA256SUMS"});
        let by_options = ImageInfo::parse(&info, false).unwrap().http_options(&options).unwrap();
        assert!(by_options.authorization == Some(Authorization::Basic("me".into(), "pw".into())));
        info["image_request_authorization"] = STANDARD.encode("Bearer token").into();
        let by_image = ImageInfo::parse(&info, false).unwrap().http_options(&options).unwrap();
        assert!(by_image.authorization == Some(Authorization::Header("Bearer token".into())));
    }

    #[test]
    fn a_missing_password_is_named() {
        let info = json!({"id": "i", "urls": ["u"], "checksum": "http://h/s", "image_server_auth_strategy": "http_basic",
            "image_server_user": "me"});
        let error = ImageInfo::parse(&info, false).unwrap().http_options(&Options::default()).unwrap_err();
        assert_eq!(
            error.chain(),
            "Download of image i failed: Missing ['password'] fields from HTTP(S) basic auth config"
        );
    }

    #[test]
    fn a_partition_image_has_a_layout() {
        let mut info = json!({"id": "i", "urls": ["u"], "checksum": "http://h/s", "image_type": "partition",
            "root_gb": "10", "root_mb": 10240, "swap_mb": 0, "ephemeral_mb": null, "preserve_ephemeral": false});
        let layout = ImageInfo::parse(&info, false).unwrap().layout.unwrap();
        assert_eq!((layout.root_mib, layout.swap_mib, layout.ephemeral_mib), (10240, 0, 0));
        info["root_mb"] = Value::Null;
        assert_eq!(ImageInfo::parse(&info, false).unwrap().layout.unwrap().root_mib, 10240);
        for (field, value) in [("root_mb", json!("many")), ("swap_mb", json!(u64::MAX)), ("root_gb", json!(null))] {
            let mut bad = info.clone();
            bad[field] = value;
            refusal(bad, false);
        }
    }
}
