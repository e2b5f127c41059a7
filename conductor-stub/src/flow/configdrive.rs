//! The config drive: from the JSON that clients send to gzip, base64 and ISO 9660 with the label `config-2`
//! (openstacksdk's `openstack.baremetal.configdrive`).

use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::flow::error::FlowError;

/// Ironic's limit of a config drive.
const LIMIT_BYTES: u64 = 64 << 20;
/// Programs that write ISO 9660 with these options, best known first.
const PROGRAMS: [&str; 3] = ["genisoimage", "mkisofs", "xorrisofs"];

/// Whether a client's config drive can be used.
///
/// # Errors
/// Names what is wrong with it.
pub fn check(drive: &Value) -> Result<(), FlowError> {
    let parts = ["meta_data", "network_data", "user_data", "vendor_data"];
    match drive {
        Value::Null | Value::String(_) => Ok(()),
        Value::Object(map) => match map.keys().find(|key| !parts.contains(&key.as_str())) {
            Some(key) => {
                Err(FlowError::Refused(format!("unknown key {key} in configdrive; allowed are {}", parts.join(", "))))
            }
            None => Ok(()),
        },
        _ => Err(FlowError::Refused("configdrive must be text or an object".into())),
    }
}

/// Renders an object to the text that agents take.
///
/// # Errors
/// When no program that writes ISO 9660 is installed, or it fails.
pub async fn render(drive: &Value, node: Uuid) -> Result<String, FlowError> {
    let failed = |error: std::io::Error| FlowError::Refused(format!("writing the config drive: {error}"));
    let directory = tempfile::tempdir().map_err(failed)?;
    let tree = directory.path().join("tree");
    write_tree(&tree, drive, node).map_err(failed)?;
    let image = directory.path().join("configdrive.iso");
    make_iso(&tree, &image).await?;
    let iso = std::fs::read(&image).map_err(failed)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&iso).map_err(failed)?;
    Ok(STANDARD.encode(encoder.finish().map_err(failed)?))
}

/// The file system of a config drive: rendered from an object, or decoded from base64 text (and gzip).
///
/// # Errors
/// When it is neither, or cannot be rendered.
pub async fn image(drive: &Value, node: Uuid) -> Result<Vec<u8>, FlowError> {
    let text = match drive {
        Value::String(text) => text.clone(),
        other => render(other, node).await?,
    };
    let refused = |problem: String| FlowError::Refused(format!("the config drive: {problem}"));
    let plain: String = text.split_whitespace().collect();
    let bytes = STANDARD.decode(plain).map_err(|error| refused(format!("not base64: {error}")))?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut image = Vec::new();
    let read = GzDecoder::new(&bytes[..]).take(LIMIT_BYTES + 1).read_to_end(&mut image);
    read.map_err(|error| refused(format!("not gzip: {error}")))?;
    if image.len() as u64 > LIMIT_BYTES {
        return Err(refused(format!("larger than {} MiB", LIMIT_BYTES >> 20)));
    }
    Ok(image)
}

fn write_tree(tree: &Path, drive: &Value, node: Uuid) -> std::io::Result<()> {
    let latest = tree.join("openstack/latest");
    std::fs::create_dir_all(&latest)?;
    let mut meta_data = drive.get("meta_data").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    if meta_data.get("uuid").is_none() {
        meta_data["uuid"] = json!(node);
    }
    std::fs::write(latest.join("meta_data.json"), meta_data.to_string())?;
    for (key, file) in
        [("network_data", "network_data.json"), ("vendor_data", "vendor_data2.json"), ("user_data", "user_data")]
    {
        match drive.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => std::fs::write(latest.join(file), text)?,
            Some(other) => std::fs::write(latest.join(file), other.to_string())?,
        }
    }
    Ok(())
}

async fn make_iso(tree: &Path, image: &Path) -> Result<(), FlowError> {
    for program in PROGRAMS {
        let output = tokio::process::Command::new(program)
            .args([
                "-quiet",
                "-ldots",
                "-allow-lowercase",
                "-allow-multidot",
                "-l",
                "-publisher",
                "ironic",
                "-J",
                "-r",
                "-V",
                "config-2",
                "-o",
            ])
            .arg(image)
            .arg(tree)
            .stdin(Stdio::null())
            .output()
            .await;
        match output {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(FlowError::Refused(format!("running {program}: {error}"))),
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                return Err(FlowError::Refused(format!(
                    "{program}: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                )));
            }
        }
    }
    Err(FlowError::Refused("no program to write the config drive with: install genisoimage or xorriso".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_becomes_an_iso_with_its_label_and_files() {
        let drive = json!({"meta_data": {"name": "n1"}, "user_data": "#cloud-config"});
        let text = render(&drive, Uuid::nil()).await.unwrap();
        let mut iso = Vec::new();
        flate2::read::GzDecoder::new(&STANDARD.decode(text).unwrap()[..]).read_to_end(&mut iso).unwrap();
        // ECMA-119 8.4: the primary volume descriptor is at sector 16, the volume identifier at its byte 40.
        assert_eq!(&iso[16 * 2048 + 1..16 * 2048 + 6], b"CD001");
        assert_eq!(std::str::from_utf8(&iso[16 * 2048 + 40..16 * 2048 + 72]).unwrap().trim(), "config-2");
        let text = String::from_utf8_lossy(&iso);
        assert!(text.contains("#cloud-config"));
        assert!(text.contains(r#""name":"n1""#));
    }

    #[test]
    fn unknown_parts_are_named() {
        let error = check(&json!({"meta": {}})).unwrap_err().to_string();
        assert!(error.contains("meta"), "{error}");
        assert!(check(&json!(["x"])).is_err());
    }
}
