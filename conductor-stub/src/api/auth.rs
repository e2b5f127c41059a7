//! HTTP basic with a file of users, as stand-alone Ironic has it (ironic/common/auth_basic.py): `name:$2y$…`, bcrypt only.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// Passwords that were right and need not be hashed again.
const REMEMBERED: usize = 256;

/// A file of users that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// Not readable.
    #[error("Problem reading auth user file: {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Another kind of hash.
    #[error("Only bcrypt digested passwords are supported for {user}")]
    Hash {
        /// Whose.
        user: String,
    },
}

/// Why somebody is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing was offered.
    Nothing,
    /// Something else than name and password.
    Malformed,
    /// Not the right ones.
    Wrong,
    /// The file of users cannot be read any more.
    Unreadable,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Nothing => (StatusCode::UNAUTHORIZED, "Authorization required"),
            Self::Wrong => (StatusCode::UNAUTHORIZED, "Incorrect username or password"),
            Self::Malformed => (StatusCode::BAD_REQUEST, "Could not parse Authorization header"),
            Self::Unreadable => (StatusCode::INTERNAL_SERVER_ERROR, "Problem reading auth user file"),
        };
        let body = Json(json!({"error": {"message": message, "code": status.as_u16()}}));
        let mut response = (status, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="Baremetal API""#));
        }
        response
    }
}

/// The users of a file, which is read again when it changes.
#[derive(Debug)]
pub struct HttpBasic {
    file: PathBuf,
    users: Mutex<Users>,
    remembered: Mutex<HashSet<[u8; 32]>>,
    /// Keeps what is remembered from being guessed, were it read.
    key: [u8; 32],
    /// The hash of nothing that anybody knows: names that do not exist take as long as others.
    nobody: String,
    /// Hashing is slow on purpose: one at a time, so that wrong passwords do not take every core.
    hashing: Semaphore,
}

#[derive(Debug, Clone)]
struct Users {
    changed: Option<SystemTime>,
    hashes: Arc<BTreeMap<String, String>>,
}

impl Users {
    fn read(file: &Path) -> Result<Self, UsersError> {
        let failed = |cause| UsersError::Read { path: file.to_owned(), cause };
        let changed = std::fs::metadata(file).map_err(failed)?.modified().ok();
        let text = std::fs::read_to_string(file).map_err(failed)?;
        let mut hashes = BTreeMap::new();
        for (user, hash) in text.lines().filter_map(|line| line.trim().split_once(':')) {
            if !["$2y$", "$2a$", "$2b$"].iter().any(|kind| hash.starts_with(kind)) {
                return Err(UsersError::Hash { user: user.to_owned() });
            }
            // As upstream: the first line counts.
            hashes.entry(user.to_owned()).or_insert_with(|| hash.to_owned());
        }
        Ok(Self { changed, hashes: Arc::new(hashes) })
    }
}

impl HttpBasic {
    /// The users of `file`.
    ///
    /// # Errors
    /// When it cannot be read, or has another kind of hash.
    pub fn new(file: &Path) -> Result<Self, UsersError> {
        let users = Users::read(file)?;
        let cost = users.hashes.values().find_map(|hash| hash.split('$').nth(2)?.parse().ok()).unwrap_or(10);
        Ok(Self {
            nobody: bcrypt::hash(rand::random::<[u8; 32]>(), cost).unwrap_or_default(),
            users: Mutex::new(users),
            file: file.to_owned(),
            remembered: Mutex::default(),
            key: rand::random(),
            hashing: Semaphore::new(1),
        })
    }

    /// Whether the header `Authorization` has the name and password of a user.
    ///
    /// # Errors
    /// Why not.
    pub async fn admit(&self, offered: Option<&HeaderValue>) -> Result<(), Refusal> {
        let (user, password) = parse(offered.ok_or(Refusal::Nothing)?).ok_or(Refusal::Malformed)?;
        let hashes = self.hashes()?;
        let known = hashes.get(&user).cloned();
        let digest = self.digest(&user, &password, known.as_deref().unwrap_or_default());
        if known.is_some() && guard(&self.remembered).contains(&digest) {
            return Ok(());
        }
        let Ok(_turn) = self.hashing.acquire().await else { return Err(Refusal::Wrong) };
        let hash = known.as_ref().unwrap_or(&self.nobody).clone();
        let right = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or_default()).await;
        if known.is_none() || !right.unwrap_or_default() {
            tracing::info!(?user, "refused: wrong user name or password");
            return Err(Refusal::Wrong);
        }
        let mut remembered = guard(&self.remembered);
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(digest);
        Ok(())
    }

    fn hashes(&self) -> Result<Arc<BTreeMap<String, String>>, Refusal> {
        let changed = std::fs::metadata(&self.file).and_then(|metadata| metadata.modified()).ok();
        let mut users = guard(&self.users);
        if changed != users.changed {
            *users = Users::read(&self.file).map_err(|error| {
                tracing::error!("{error}");
                Refusal::Unreadable
            })?;
        }
        Ok(Arc::clone(&users.hashes))
    }

    /// With the hash in it, so that a changed password is not remembered.
    fn digest(&self, user: &str, password: &[u8], hash: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.key);
        for part in [user.as_bytes(), password, hash.as_bytes()] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

/// Name and password of `Basic …`.
fn parse(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (kind, encoded) = header.to_str().ok()?.trim().split_once(' ')?;
    if !kind.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(encoded.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some((String::from_utf8(pair[..colon].to_vec()).ok()?, pair[colon + 1..].to_vec()))
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(user: &str, password: &str) -> HeaderValue {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).parse().unwrap()
    }

    #[tokio::test]
    async fn users_of_the_file_are_admitted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |password: &str| {
            let hash = bcrypt::hash(password, 4).unwrap().replacen("$2b$", "$2y$", 1);
            std::fs::write(file.path(), format!("# users\nadmin:{hash}\n")).unwrap();
        };
        write("se:cret");
        let users = HttpBasic::new(file.path()).unwrap();
        let right = basic("admin", "se:cret");
        for _ in 0..2 {
            assert_eq!(users.admit(Some(&right)).await, Ok(()));
        }
        for (offered, refusal) in [
            (None, Refusal::Nothing),
            (Some(basic("admin", "wrong")), Refusal::Wrong),
            (Some(basic("nobody", "se:cret")), Refusal::Wrong),
            (Some(basic("", "")), Refusal::Wrong),
            (Some(HeaderValue::from_static("Bearer x")), Refusal::Malformed),
            (Some(HeaderValue::from_static("Basic !!")), Refusal::Malformed),
            (Some(HeaderValue::from_static("Basic")), Refusal::Malformed),
        ] {
            assert_eq!(users.admit(offered.as_ref()).await, Err(refusal), "{offered:?}");
        }
        // Times of files are coarse.
        write("other");
        let later = SystemTime::now() + std::time::Duration::from_secs(2);
        std::fs::File::options().write(true).open(file.path()).unwrap().set_modified(later).unwrap();
        assert_eq!(users.admit(Some(&right)).await, Err(Refusal::Wrong), "a changed password counts at once");
        assert_eq!(users.admit(Some(&basic("admin", "other"))).await, Ok(()));
    }

    #[test]
    fn other_hashes_are_refused_at_the_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "admin:$apr1$x$y\n").unwrap();
        assert!(
            HttpBasic::new(file.path())
                .unwrap_err()
                .to_string()
                .contains("bcrypt digested passwords are supported for admin")
        );
        assert!(HttpBasic::new(Path::new("/nonexistent/htpasswd")).is_err());
    }
}
