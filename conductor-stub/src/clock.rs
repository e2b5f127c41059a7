//! Points in time as Ironic writes them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now, in UTC, to the second: `2026-11-21T10:00:00+00:00`.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc().replace_millisecond(0).unwrap_or_else(|_| OffsetDateTime::now_utc());
    written(now)
}

/// A point in time, given in seconds since the epoch.
pub fn at(seconds: f64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds as i64).map_or_else(|_| String::new(), written)
}

/// How long ago that was, seconds; none when the text is no point in time.
pub fn age(text: &str) -> Option<f64> {
    let then = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some((OffsetDateTime::now_utc() - then).as_seconds_f64())
}

fn written(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).map(|text| text.replace('Z', "+00:00")).unwrap_or_default()
}

/// Seconds since the epoch, with fractions: for durations between events.
pub fn seconds() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map(|d| d.as_secs_f64()).unwrap_or_default()
}
