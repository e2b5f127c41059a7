//! Pages of lists: where one begins, how long it is, and the way to the next.

use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use url::form_urlencoded;
use uuid::Uuid;

use super::arguments::Arguments;
use super::body::Answer;
use super::fields::Field;
use super::version::Version;
use crate::error::ApiError;
use crate::store::StoreError;
use crate::store::listing::Listing;

/// The most records that one answer has (`[api]max_limit`).
const MOST: usize = 1000;

/// A page that was asked for.
#[derive(Debug, Clone)]
pub struct Page {
    /// It begins behind this record.
    pub marker: Option<Uuid>,
    /// Records on it.
    pub limit: usize,
    sort: Option<&'static str>,
    descending: bool,
    /// The query, without the place of the page.
    query: Vec<(String, String)>,
}

impl Page {
    /// From `limit`, `marker`, `sort_key` and `sort_dir`.
    ///
    /// # Errors
    /// 400 for a limit, a key or a direction that is none; 406 for a key of a later version.
    pub fn read(arguments: &mut Arguments, version: Version, known: &[Field]) -> Result<Self, ApiError> {
        let query = arguments.query().iter().filter(|(name, _)| !matches!(name.as_str(), "limit" | "marker"));
        let query = query.cloned().collect();
        let marker = arguments.uuid("marker")?;
        let limit = match arguments.integer("limit")? {
            None => MOST,
            Some(limit) if limit <= 0 => return Err(ApiError::Invalid("Limit must be positive".into())),
            Some(limit) => usize::try_from(limit).unwrap_or(MOST).min(MOST),
        };
        let direction = arguments.text("sort_dir")?;
        let descending = match direction.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(other) => {
                return Err(ApiError::Invalid(format!(
                    "Invalid sort direction: {other}. Acceptable values are 'asc' or 'desc'"
                )));
            }
        };
        let key = arguments.text("sort_key")?.filter(|key| key != "id");
        let sort = key.map(|key| place(&key, version, known)).transpose()?;
        Ok(Self { marker, limit, sort, descending, query })
    }

    /// The records of this page and one more, which tells whether another page follows.
    pub fn listing(&self) -> Listing {
        let mut listing = Listing::first(self.limit + 1);
        (listing.sort, listing.descending, listing.marker) = (self.sort, self.descending, self.marker);
        listing
    }

    /// The answer: `records`, as many as fit, under `name`, each as `write` puts it down, and the way to the next page of the
    /// list at `url`. What is written is all that a long list takes of memory.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn answer<T>(
        &self,
        name: &str,
        url: &str,
        records: impl IntoIterator<Item = Result<T, StoreError>>,
        identity: impl Fn(&T) -> Uuid,
        write: impl Fn(&T, &mut Vec<u8>),
    ) -> Answer {
        let mut body = format!("{{\"{name}\":[").into_bytes();
        let (mut last, mut follows) = (None, false);
        for (number, record) in records.into_iter().enumerate() {
            follows = number == self.limit;
            if follows {
                break;
            }
            let record = record?;
            if number > 0 {
                body.push(b',');
            }
            write(&record, &mut body);
            last = Some(identity(&record));
        }
        body.push(b']');
        if let Some(marker) = last.filter(|_| follows) {
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&self.query)
                .append_pair("limit", &self.limit.to_string())
                .append_pair("marker", &marker.to_string())
                .finish();
            body.extend_from_slice(b",\"next\":");
            write_json(&format!("{url}?{query}"), &mut body);
        }
        body.push(b'}');
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    }
}

/// Writes `value` behind what `body` has.
pub fn write_json(value: &impl Serialize, body: &mut Vec<u8>) {
    // What has text as its keys can always be written to memory.
    let _ = serde_json::to_writer(body, value);
}

/// Answers a long list beside everything else: it takes long enough for others to wait.
///
/// # Errors
/// Those of `answer`.
pub async fn beside(answer: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    tokio::task::spawn_blocking(answer).await.map_err(|error| ApiError::Internal(error.to_string()))?
}

fn place(key: &str, version: Version, known: &[Field]) -> Result<&'static str, ApiError> {
    let field = known.iter().find(|field| field.name == key);
    if field.is_some_and(|field| version.0 < field.since) {
        return Err(ApiError::not_acceptable());
    }
    let place = field.and_then(|field| field.place);
    place.ok_or_else(|| ApiError::Invalid(format!("The sort_key value {key} is an invalid field for sorting")))
}
