use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Segment, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::join_all;
use uuid::Uuid;

use super::*;
use crate::store::Store;

/// Serves files of a mebibyte that are full of the first byte of their name, and may break off.
#[derive(Debug, Default)]
struct Site {
    /// Changes with every version.
    version: AtomicUsize,
    asked: AtomicUsize,
    /// Answers that break off in the middle.
    breaks: AtomicUsize,
    unchanged: AtomicUsize,
    sent_bytes: AtomicUsize,
    /// What it answers in the place of files.
    status: AtomicUsize,
}

const MIB: usize = 1 << 20;

impl Site {
    fn content(&self, name: &str) -> Vec<u8> {
        vec![name.as_bytes()[0].wrapping_add(self.version.load(Ordering::SeqCst) as u8); MIB]
    }

    fn sums(&self) -> String {
        ["a.iso", "b.iso"]
            .map(|name| format!("{}  {name}\n", hex::encode(sha2::Sha256::digest(self.content(name)))))
            .concat()
    }

    fn count(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::SeqCst)
    }
}

use sha2::Digest;

async fn serve(State(site): State<Arc<Site>>, Segment(name): Segment<String>, headers: HeaderMap) -> Response {
    if name == "SHA256SUMS" {
        return site.sums().into_response();
    }
    site.asked.fetch_add(1, Ordering::SeqCst);
    if let status @ 1.. = Site::count(&site.status) {
        return StatusCode::from_u16(status as u16).unwrap().into_response();
    }
    let tag = format!("\"{}\"", Site::count(&site.version));
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("if-none-match") == Some(&tag) {
        site.unchanged.fetch_add(1, Ordering::SeqCst);
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let content = site.content(&name);
    let fits = header("if-range").is_none_or(|range| range == tag);
    let start: Option<usize> = header("range")
        .filter(|_| fits)
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let mut rest = content[start.unwrap_or(0)..].to_vec();
    let length = rest.len();
    let is_broken = site.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    if is_broken {
        rest.truncate(length / 2);
    }
    site.sent_bytes.fetch_add(rest.len(), Ordering::SeqCst);
    let pieces: Vec<Result<Bytes, io::Error>> =
        std::iter::once(Ok(rest.into())).chain(is_broken.then(|| Err(io::ErrorKind::ConnectionReset.into()))).collect();
    let status = if start.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = Response::builder().status(status).header("etag", tag).header("content-length", length);
    if let Some(start) = start {
        response = response.header("content-range", format!("bytes {start}-{}/{}", content.len() - 1, content.len()));
    }
    response.body(Body::from_stream(futures_util::stream::iter(pieces))).unwrap()
}

struct Lab {
    site: Arc<Site>,
    url: String,
    folder: tempfile::TempDir,
    store: Arc<Store>,
    media: Media,
    limit_mib: u64,
}

impl Lab {
    async fn start(limit_mib: u64) -> Self {
        let site = Arc::new(Site::default());
        let router = Router::new().route("/{name}", get(serve)).with_state(Arc::clone(&site));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::in_memory().unwrap());
        let media = media(&folder, limit_mib, &store);
        Self { site, url, folder, store, media, limit_mib }
    }

    fn wanted(&self, name: &str) -> Wanted {
        Wanted::new(&format!("{}/{name}", self.url), None).unwrap()
    }

    async fn get(&self, name: &str) -> Medium {
        self.media.get(&self.wanted(name)).await.unwrap()
    }

    /// What is here, by the last part of where it came from.
    fn here(&self) -> Vec<String> {
        let entries = self.media.shelf().entries().unwrap();
        let mut names: Vec<String> =
            entries.iter().map(|entry| entry.source.rsplit('/').next().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

fn media(folder: &tempfile::TempDir, limit_mib: u64, store: &Arc<Store>) -> Media {
    let shelf = Shelf::open(&folder.path().join("media"), limit_mib << 20, Arc::clone(store)).unwrap();
    let allowed = AllowedFolders::new(&[folder.path().to_owned()], &folder.path().join("media"));
    Media::new(shelf, client(None).unwrap(), allowed)
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_download_and_later_ones_ask_for_news() {
    let mut lab = Lab::start(100).await;
    let wanted = lab.wanted("a.iso");
    let all = join_all((0..10).map(|_| lab.media.get(&wanted))).await;
    let first = all[0].as_ref().unwrap();
    assert!(all.iter().all(|medium| medium.as_ref().unwrap().path == first.path));
    assert_eq!(std::fs::read(&first.path).unwrap(), lab.site.content("a.iso"));
    assert_eq!(Site::count(&lab.site.asked), 1);
    // Also by a conductor that was started anew.
    let path = first.path.clone();
    drop(all);
    lab.media = media(&lab.folder, lab.limit_mib, &lab.store);
    assert_eq!(lab.get("a.iso").await.path, path);
    assert_eq!((Site::count(&lab.site.asked), Site::count(&lab.site.unchanged)), (2, 1));
    // What a machine is reading stays as it is when there is a newer one.
    let old = lab.get("a.iso").await;
    lab.site.version.fetch_add(1, Ordering::SeqCst);
    let new = lab.get("a.iso").await;
    assert_eq!(std::fs::read(&new.path).unwrap(), lab.site.content("a.iso"));
    assert_ne!(std::fs::read(&old.path).unwrap(), lab.site.content("a.iso"));
    let path = old.path.clone();
    drop(old);
    lab.media.shelf().tidy().unwrap();
    assert!(!path.exists() && new.path.exists());
    // A server that is away for a while keeps nobody from booting; one that has taken the file away does.
    lab.site.status.store(503, Ordering::SeqCst);
    assert_eq!(lab.get("a.iso").await.path, new.path);
    lab.site.status.store(404, Ordering::SeqCst);
    let error = lab.media.get(&lab.wanted("a.iso")).await.unwrap_err().to_string();
    assert!(error.contains("404"), "{error}");
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let lab = Lab::start(100).await;
    lab.site.breaks.store(2, Ordering::SeqCst);
    let medium = lab.get("a.iso").await;
    assert_eq!(std::fs::read(&medium.path).unwrap(), lab.site.content("a.iso"));
    assert_eq!(Site::count(&lab.site.asked), 3);
    // Three whole answers would be three; what was sent last before an end may get lost.
    assert!(Site::count(&lab.site.sent_bytes) < 2 * MIB, "{}", Site::count(&lab.site.sent_bytes));
}

#[tokio::test]
async fn what_is_not_what_it_should_be_is_not_kept() {
    let lab = Lab::start(100).await;
    let with = |checksum: String| Wanted { checksum: Some(checksum), ..lab.wanted("a.iso") };
    let error = lab.media.get(&with(format!("sha256:{}", "0".repeat(64)))).await.unwrap_err().to_string();
    assert!(error.contains("instead of sha256:0000"), "{error}");
    assert!(lab.here().is_empty());
    let right = with(format!("{}/SHA256SUMS", lab.url));
    lab.media.get(&right).await.unwrap();
    // Its digest is known: the server need not be asked.
    let asked = Site::count(&lab.site.asked);
    lab.media.get(&right).await.unwrap();
    assert_eq!(Site::count(&lab.site.asked), asked);
    let unlisted = Wanted { checksum: Some(format!("{}/SHA256SUMS", lab.url)), ..lab.wanted("z.iso") };
    let error = lab.media.get(&unlisted).await.unwrap_err().to_string();
    assert!(error.contains("SHA256SUMS") && error.contains("z.iso"), "{error}");
    // The same of files that are here.
    let file = lab.folder.path().join("own.iso");
    std::fs::write(&file, "x").unwrap();
    let own = |checksum: &str| Wanted::new(&file.display().to_string(), Some(checksum)).unwrap();
    let digest = hex::encode(sha2::Sha256::digest("x"));
    assert_eq!(lab.media.get(&own(&digest)).await.unwrap().path, file.canonicalize().unwrap());
    assert!(lab.media.get(&own(&"1".repeat(64))).await.unwrap_err().to_string().contains("instead of"));
    assert!(lab.media.get(&Wanted::new("/etc/passwd", None).unwrap()).await.is_err());
}

#[tokio::test]
async fn what_was_not_used_for_longest_goes_and_never_what_is_in_use() {
    let lab = Lab::start(3).await;
    for name in ["a.iso", "b.iso", "c.iso", "a.iso"] {
        lab.get(name).await;
    }
    lab.get("d.iso").await;
    assert_eq!(lab.here(), ["a.iso", "c.iso", "d.iso"], "b was not used for longest");
    // One is held, one is published: the third has to go.
    let held = lab.get("c.iso").await;
    let published = lab.get("a.iso").await;
    let node = Uuid::new_v4();
    lab.store.save_artefact(node, "x", "secret", &published.path, None).unwrap();
    drop(published);
    lab.get("d.iso").await;
    lab.get("e.iso").await;
    assert_eq!(lab.here(), ["a.iso", "c.iso", "e.iso"]);
    let more = lab.get("e.iso").await;
    let error = lab.media.get(&lab.wanted("f.iso")).await.unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
    assert_eq!(lab.here(), ["a.iso", "c.iso", "e.iso"]);
    drop((held, more));
    lab.store.delete_artefacts(node).unwrap();
    lab.get("f.iso").await;
    assert_eq!(lab.here().len(), 3);
    let small = Lab::start(0).await;
    let error = small.media.get(&small.wanted("a.iso")).await.unwrap_err().to_string();
    assert!(error.contains("1 MiB are more than media_cache_size (0 MiB)"), "{error}");
}

#[tokio::test]
async fn what_is_for_one_use_goes_after_it() {
    let lab = Lab::start(100).await;
    let medium = lab.media.get(&Wanted { one_shot: true, ..lab.wanted("a.iso") }).await.unwrap();
    lab.media.shelf().tidy().unwrap();
    assert_eq!(lab.here(), ["a.iso"]);
    drop(medium);
    lab.media.shelf().tidy().unwrap();
    assert!(lab.here().is_empty());
}

fn making(origin: &str) -> Making {
    Making { origin: origin.to_owned(), bytes: 9, one_shot: false }
}

#[tokio::test]
async fn what_is_made_is_made_once() {
    let lab = Lab::start(100).await;
    let made = AtomicUsize::new(0);
    let made = Arc::new(made);
    let make = || {
        let made = Arc::clone(&made);
        lab.media.make(making("an ISO of a kernel"), move |part| {
            made.fetch_add(1, Ordering::SeqCst);
            std::fs::write(part, "an ISO").map_err(|error| error.to_string())?;
            Ok(serde_json::json!({"offset": 5}))
        })
    };
    for medium in join_all([make(), make(), make()]).await {
        assert_eq!(medium.unwrap().notes["offset"], 5);
    }
    make().await.unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 1);
    let error = lab.media.make(making("nothing"), |_| Err("no xorriso".into())).await.unwrap_err().to_string();
    assert_eq!(error, "no xorriso");
}
