//! From what the conductor sends (a URL, or base64 of gzip) to the bytes of a file system.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferric_hardware::block::EligibleDevice;
use ferric_hardware::open_device::{Access, OpenDevice};
use flate2::bufread::GzDecoder;
use serde_json::Value;

use super::{Drive, LIMIT};
use crate::deploy::image_info::is_url;
use crate::fetch::fetch;
use crate::http::HttpOptions;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Base64 is a third larger than what it carries.
const FETCH_LIMIT_BYTES: usize = LIMIT.0 as usize * 3 / 2;

/// A config drive as it is sent: base64 of gzip, or the URL of that, of gzip, or of the bare file system image.
pub struct ConfigDrive(String);

impl std::fmt::Debug for ConfigDrive {
    /// It holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<...>")
    }
}

impl ConfigDrive {
    /// The config drive for the node of that UUID; nothing when it is null.
    ///
    /// # Errors
    /// [`ErrorKind::Deployment`] when it is no text.
    pub fn parse(value: &Value, node: &str) -> Result<Option<Self>, StepError> {
        let kind = match value {
            Value::Null => return Ok(None),
            Value::String(text) => return Ok(Some(Self(text.clone()))),
            Value::Object(_) => "an object",
            Value::Array(_) => "a list",
            _ => "no text",
        };
        Err(ErrorKind::Deployment
            .error(format!("The config drive for node {node} is {kind}; it must be base64 of gzip, or a URL")))
    }

    /// The config drive for `device`.
    ///
    /// # Errors
    /// As `ConfigDrive::fetch`; also when its files are needed and cannot be read.
    pub async fn fetch_for(&self, device: &EligibleDevice, step: &Step) -> Result<Drive, StepError> {
        let image = self.fetch(step).await?;
        let rebuild = step.site.options.config_drive.rebuild;
        let disk = device.clone();
        let block =
            step.blocking(move |step| Ok(OpenDevice::open(&step.site.machine, &disk, Access::Read)?.block_size()));
        Drive::new(image, block.await?, rebuild).map_err(|error| {
            let what = format!("The config drive for node {} cannot be used on {}", step.node_uuid(), device.name);
            ErrorKind::Deployment.error(what).because(error)
        })
    }

    /// The file system image.
    ///
    /// # Errors
    /// [`ErrorKind::Deployment`] when it cannot be had, is nothing of these, is empty or larger than 64 MiB.
    async fn fetch(&self, step: &Step) -> Result<Vec<u8>, StepError> {
        let (text, node) = (self.0.as_str(), step.node_uuid());
        if !is_url(text) {
            return decode(text.as_bytes(), node);
        }
        let body = fetch(text, &HttpOptions::of(&step.site.options.tls), FETCH_LIMIT_BYTES, step).await;
        let body = body.map_err(|error| {
            let what = format!("Can't download the configdrive content for node {node}");
            ErrorKind::Deployment.error(what).because(error)
        })?;
        if is_file_system(&body) { within_limit(body, node) } else { decode(&body, node) }
    }
}

fn decode(encoded: &[u8], node: &str) -> Result<Vec<u8>, StepError> {
    if is_gzip(encoded) {
        return unzip(encoded, node);
    }
    let text: Vec<u8> = encoded.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(text).map_err(|error| {
        let what = format!("Config drive for node {node} is not base64 encoded or the content is malformed. Error");
        ErrorKind::Deployment.error(what).because(error)
    })?;
    unzip(&decoded, node)
}

fn unzip(zipped: &[u8], node: &str) -> Result<Vec<u8>, StepError> {
    let failed = |reason: &str| {
        ErrorKind::Deployment.error(format!(
            "Encountered error while decompressing and writing config drive for node {node}. Error: {reason}"
        ))
    };
    if !is_gzip(zipped) {
        return Err(failed(if zipped.is_empty() { "it is empty" } else { "Not a gzipped file" }));
    }
    let (mut content, mut rest) = (Vec::new(), zipped);
    // Several members are one file (RFC 1952 section 2.2), and zeroes behind them padding; anything else there is damage.
    while !rest.is_empty() && content.len() as u64 <= LIMIT.0 {
        let mut member = GzDecoder::new(rest);
        let room = LIMIT.0 + 1 - content.len() as u64;
        let unpacked = (&mut member).take(room).read_to_end(&mut content);
        unpacked.map_err(|error| failed("the gzip data is damaged or cut short").because(error))?;
        rest = member.into_inner();
        rest = &rest[rest.iter().take_while(|byte| **byte == 0).count()..];
    }
    within_limit(content, node)
}

fn within_limit(content: Vec<u8>, node: &str) -> Result<Vec<u8>, StepError> {
    if content.is_empty() {
        return Err(ErrorKind::Deployment.error(format!("The config drive for node {node} is empty")));
    }
    let size = content.len() as u64;
    if size > LIMIT.0 {
        return Err(ErrorKind::Deployment.error(format!(
            "Config drive size exceeds maximum limit of 64MiB. Size of the given config drive is {} MiB for node {node}.",
            size.div_ceil(1 << 20)
        )));
    }
    Ok(content)
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// ISO 9660 (ECMA-119 8.1.2) or FAT (boot sector signature and the text of its file system type).
fn is_file_system(bytes: &[u8]) -> bool {
    let at = |offset: usize, text: &[u8]| bytes.get(offset..offset + text.len()) == Some(text);
    at(32769, b"CD001") || (at(510, &[0x55, 0xaa]) && (at(54, b"FAT") || at(82, b"FAT")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ferric_hardware::machine::Machine;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::options::Options;
    use crate::site::Site;

    fn zipped(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    async fn inline(value: Value) -> Result<Vec<u8>, StepError> {
        let step = Step::new(Site::new(Machine::at("/nonexistent"), Options::default()));
        ConfigDrive::parse(&value, step.node_uuid())?.unwrap().fetch(&step).await
    }

    async fn refusal(value: Value) -> String {
        match inline(value).await {
            Err(error) if error.kind == ErrorKind::Deployment => error.chain(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn base64_of_gzip_is_unpacked_whatever_its_line_breaks() {
        let mut text = STANDARD.encode(zipped(b"drive"));
        text.insert(5, '\n');
        assert_eq!(inline(text.into()).await.unwrap(), b"drive");
    }

    #[tokio::test]
    async fn several_members_are_one_file_and_nothing_else_follows_them() {
        let members = [zipped(b"config "), zipped(b""), zipped(b"drive")].concat();
        for padding in [&[][..], &[0; 100]] {
            let text = STANDARD.encode([&members, padding].concat());
            assert_eq!(inline(text.into()).await.unwrap(), b"config drive");
        }
        for behind in [&b"text"[..], &zipped(b"cut")[..9], b"\0\0text"] {
            let text = STANDARD.encode([&members, behind].concat());
            assert!(refusal(text.into()).await.contains("damaged"));
        }
        let bombs = vec![zipped(&vec![0; 1 << 20]); 65].concat();
        assert!(refusal(STANDARD.encode(bombs).into()).await.contains("65 MiB"));
    }

    #[tokio::test]
    async fn what_is_no_config_drive_is_refused_with_the_reason() {
        assert!(refusal("???".into()).await.contains("not base64 encoded or the content is malformed"));
        assert!(refusal("".into()).await.contains("empty"));
        assert!(refusal(STANDARD.encode("text").into()).await.contains("Not a gzipped file"));
        let cut = &zipped(&[7; 5000])[..20];
        assert!(refusal(STANDARD.encode(cut).into()).await.contains("cut short"));
        assert!(refusal(STANDARD.encode(zipped(b"")).into()).await.contains("is empty"));
        assert!(refusal(serde_json::json!({"meta_data": {}})).await.contains("is an object"));
    }

    #[tokio::test]
    async fn a_small_file_that_unpacks_to_more_than_the_limit_is_refused() {
        let bomb = zipped(&vec![0; LIMIT.0 as usize + 1]);
        assert!(refusal(STANDARD.encode(bomb).into()).await.contains("Size of the given config drive is 65 MiB"));
    }

    #[test]
    fn file_systems_are_known_by_their_magic() {
        let mut iso = vec![0; 40000];
        assert!(!is_file_system(&iso));
        iso[32769..32774].copy_from_slice(b"CD001");
        assert!(is_file_system(&iso));
        let mut fat = vec![0; 512];
        fat[54..57].copy_from_slice(b"FAT");
        fat[510..].copy_from_slice(&[0x55, 0xaa]);
        assert!(is_file_system(&fat));
    }
}
