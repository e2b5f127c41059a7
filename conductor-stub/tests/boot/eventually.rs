//! Waiting for what comes by itself, never for ever.

use std::time::{Duration, Instant};

/// Long enough for a slow machine; tests end as soon as what they wait for is there.
const LIMIT: Duration = Duration::from_secs(60);

/// Asks again and again until `probe` gives something.
///
/// # Panics
/// When it does not within a minute.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
