//! What the agent is told about an image: `image_info` as Ironic builds it for the `direct` deploy interface.

use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::files::{self, AllowedFolders};
use crate::flow::configdrive;
use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::mask;
use crate::media::Wanted;
use crate::media::checksum::Checksum;
use crate::node::{Node, Object};

const DOWNLOAD_SOURCE: &str = "image_download_source";
/// How long a server may be silent when an image is checked.
const URL_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// Whether `instance_info` names an image.
///
/// # Errors
/// When it does not.
pub fn validate(node: &Node, allowed: &AllowedFolders) -> Result<(), FlowError> {
    let info = &node.spec.instance_info;
    let source = text(info, "image_source").ok_or_else(|| {
        FlowError::Refused("Cannot validate image information for node because one or more parameters are missing from its instance_info. Missing are: ['image_source']".into())
    })?;
    let has_digest = text(info, "image_checksum").is_some()
        || (text(info, "image_os_hash_algo").is_some() && text(info, "image_os_hash_value").is_some());
    is_had_here(node)?;
    if let Some(file) = files::local(source) {
        allowed.file(&file)?;
    } else if !has_digest {
        return Err(FlowError::Refused(
            "image_source's image_checksum or image_os_hash_algo and image_os_hash_value must be set for images from a URL".into(),
        ));
    }
    Ok(())
}

/// Makes the image reachable: a local file is published and hashed, a URL is left as it is.
///
/// # Errors
/// When the file cannot be read.
pub async fn prepare(task: &mut Task) -> Result<(), FlowError> {
    let node = &mut task.node;
    let source = text(&node.spec.instance_info, "image_source").unwrap_or_default().to_owned();
    let url = match files::local(&source) {
        None if is_had_here(node)? => {
            // The agent verifies it once more, also by those that are too weak for us.
            let digest = text(&node.spec.instance_info, "image_os_hash_value")
                .or(text(&node.spec.instance_info, "image_checksum"))
                .filter(|digest| digest.parse::<Checksum>().is_ok());
            let wanted = Wanted::new(&source, digest).map_err(|error| FlowError::Refused(error.to_string()))?;
            let medium = task.conductor.media.get(&wanted).await?;
            let path = source.split(['?', '#']).next().unwrap_or_default();
            let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("image");
            task.conductor.artefacts.publish(node.uuid, name, &medium.path)?
        }
        None => {
            check_url(&source).await?;
            source
        }
        Some(file) => {
            let file = task.conductor.allowed.file(&file)?;
            let known = text(&node.spec.instance_info, "image_os_hash_value")
                .or(text(&node.spec.instance_info, "image_checksum"));
            if known.is_none() {
                let value = hash(file.clone()).await?;
                node.spec.instance_info.insert("image_os_hash_algo".into(), "sha256".into());
                node.spec.instance_info.insert("image_os_hash_value".into(), value.into());
            }
            let name = file.file_name().map_or_else(|| "image".into(), |name| name.to_string_lossy().into_owned());
            task.conductor.artefacts.publish(node.uuid, &name, &file)?
        }
    };
    node.spec.instance_info.insert("image_url".into(), url.into());
    if let Some(drive) = node.spec.instance_info.get("configdrive").filter(|drive| drive.is_object()).cloned() {
        let rendered = configdrive::render(&drive, node.uuid).await?;
        node.spec.instance_info.insert("configdrive".into(), rendered.into());
    }
    Ok(task.save()?)
}

/// Whether an image of a server comes to machines by way of this conductor (`image_download_source`: `http`, as long as
/// nothing is said, or `local`).
fn is_had_here(node: &Node) -> Result<bool, FlowError> {
    let said = text(&node.spec.instance_info, DOWNLOAD_SOURCE).or(text(&node.spec.driver_info, DOWNLOAD_SOURCE));
    match said.unwrap_or("http") {
        "http" => Ok(false),
        "local" => Ok(true),
        other => Err(FlowError::Refused(format!("{DOWNLOAD_SOURCE} is {other}: must be http or local"))),
    }
}

/// `image_info` and the config drive, if there is one.
///
/// # Errors
/// When [`prepare`] has not been called.
pub fn info(node: &Node) -> Result<(Value, Option<Value>), FlowError> {
    let info = &node.spec.instance_info;
    let url = text(info, "image_url").ok_or_else(|| FlowError::Refused("instance_info has no image_url".into()))?;
    let format = text(info, "image_disk_format").unwrap_or("raw");
    let id = url.rsplit('/').next().unwrap_or(url);
    let mut image = json!({
        "id": id,
        "urls": [url],
        "disk_format": format,
        "container_format": info.get("image_container_format"),
        "stream_raw_images": true,
        "node_uuid": node.uuid,
    });
    for (ours, theirs) in [
        ("image_checksum", "checksum"),
        ("image_os_hash_algo", "os_hash_algo"),
        ("image_os_hash_value", "os_hash_value"),
        ("image_request_authorization", "image_request_authorization"),
    ] {
        if let Some(value) = info.get(ours).filter(|value| !value.is_null()) {
            image[theirs] = value.clone();
        }
    }
    Ok((image, info.get("configdrive").filter(|drive| !drive.is_null()).cloned()))
}

/// Asks for the first byte of an image, before a machine is booted for one that is not there. A server that does not
/// answer may be one that only the machine can reach: that is left to the agent.
///
/// # Errors
/// When the server says that there is no such file, or not for us.
pub async fn check_url(url: &str) -> Result<(), FlowError> {
    let client = reqwest::Client::builder()
        .connect_timeout(URL_LIMIT)
        .timeout(URL_LIMIT)
        .referer(false)
        .redirect(reqwest::redirect::Policy::limited(5))
        .build();
    let client = client.map_err(|error| FlowError::Refused(format!("preparing the HTTP client: {error}")))?;
    match client.get(url).header("Range", "bytes=0-0").send().await {
        Ok(answer) if answer.status().is_client_error() => {
            Err(FlowError::Refused(format!("image {url}: the server answers {}", answer.status())))
        }
        Ok(_) => Ok(()),
        Err(error) => {
            let url = mask::text(url);
            tracing::warn!(url, "the image cannot be checked from here: {}", mask::text(&error.to_string()));
            Ok(())
        }
    }
}

/// A text of `instance_info`.
pub(super) fn text<'a>(info: &'a Object, key: &str) -> Option<&'a str> {
    info.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

async fn hash(file: PathBuf) -> Result<String, FlowError> {
    let shown = file.display().to_string();
    let result = tokio::task::spawn_blocking(move || {
        let mut hasher = Sha256::new();
        let mut reader = std::fs::File::open(file)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match std::io::Read::read(&mut reader, &mut buffer)? {
                0 => return Ok::<_, std::io::Error>(hex::encode(hasher.finalize())),
                length => hasher.update(&buffer[..length]),
            }
        }
    });
    match result.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(FlowError::Refused(format!("reading image {shown}: {error}"))),
        Err(error) => Err(FlowError::Refused(format!("hashing image {shown}: {error}"))),
    }
}
