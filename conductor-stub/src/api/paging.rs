//! Pages of lists: where one begins, how long it is, and the way to the next.

use serde_json::{Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::arguments::Arguments;
use super::fields::Field;
use super::version::Version;
use crate::error::ApiError;
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

    /// The answer: `records`, as many as fit, under `name`, each as `view` shows it, and the way to the next page of the list
    /// at `url`.
    pub fn answer<T>(
        &self,
        name: &str,
        url: &str,
        mut records: Vec<T>,
        identity: impl Fn(&T) -> Uuid,
        view: impl Fn(&T) -> Value,
    ) -> Value {
        let next = (records.len() > self.limit).then(|| identity(&records[self.limit - 1]));
        records.truncate(self.limit);
        let mut body = json!({ name: records.iter().map(view).collect::<Vec<_>>() });
        if let Some(marker) = next {
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&self.query)
                .append_pair("limit", &self.limit.to_string())
                .append_pair("marker", &marker.to_string())
                .finish();
            body["next"] = format!("{url}?{query}").into();
        }
        body
    }
}

fn place(key: &str, version: Version, known: &[Field]) -> Result<&'static str, ApiError> {
    let field = known.iter().find(|field| field.name == key);
    if field.is_some_and(|field| version.0 < field.since) {
        return Err(ApiError::not_acceptable());
    }
    let place = field.and_then(|field| field.place);
    place.ok_or_else(|| ApiError::Invalid(format!("The sort_key value {key} is an invalid field for sorting")))
}
