//! Fetching what is put into a virtual drive or updates a firmware: a BMC streams it, we keep a copy while it is inserted.

use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

/// Why a medium cannot be had; the text goes into the Redfish error.
#[derive(Debug, thiserror::Error)]
pub(super) enum MediaError {
    #[error("Cannot download {url}: {reason}")]
    Download { url: String, reason: String },
    #[error("Cannot store virtual media in {}: {cause}", path.display())]
    Store { path: PathBuf, cause: std::io::Error },
}

/// Downloads `url` into `path`, which may not be open elsewhere.
pub(super) async fn download(client: &reqwest::Client, url: &str, path: &Path) -> Result<(), MediaError> {
    let failed = |reason: String| MediaError::Download { url: url.to_string(), reason };
    let response = client.get(url).send().await.map_err(|error| failed(error.to_string()))?;
    if !response.status().is_success() {
        return Err(failed(format!("got error {} from the server", response.status().as_u16())));
    }
    let store = |cause| MediaError::Store { path: path.into(), cause };
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(store)?;
    }
    // A running machine keeps reading the old file until its drive is told to change.
    let _ = tokio::fs::remove_file(path).await;
    let mut file = tokio::fs::File::create(path).await.map_err(store)?;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| failed(error.to_string()))?;
        file.write_all(&chunk).await.map_err(store)?;
    }
    file.flush().await.map_err(store)
}

/// The first `limit` bytes of what is at `url`.
pub(super) async fn head(client: &reqwest::Client, url: &str, limit: usize) -> Result<Vec<u8>, MediaError> {
    let failed = |reason: String| MediaError::Download { url: url.to_string(), reason };
    let response = client.get(url).send().await.map_err(|error| failed(error.to_string()))?;
    if !response.status().is_success() {
        return Err(failed(format!("got error {} from the server", response.status().as_u16())));
    }
    let (mut bytes, mut body) = (Vec::new(), response.bytes_stream());
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| failed(error.to_string()))?);
        if bytes.len() >= limit {
            bytes.truncate(limit);
            break;
        }
    }
    Ok(bytes)
}
