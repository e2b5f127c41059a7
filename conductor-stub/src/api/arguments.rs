//! What a request says beside its path: the query, and the members of a body that is no document of its own. Ironic takes
//! both for one list of arguments, refuses those that it does not know, and says the same of each wrong one.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde_json::Value;
use url::form_urlencoded;
use uuid::Uuid;

use super::body::OptionalJson;
use crate::error::ApiError;
use crate::node::spec::is_logical_name;
use crate::node::{MacAddress, Object, flag};

/// The arguments that nobody has asked for yet.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    given: Object,
    /// The query as it came.
    query: Vec<(String, String)>,
}

fn wrong(text: String) -> ApiError {
    ApiError::Invalid(text)
}

/// A value as it is named in a refusal: without quotes around text.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Arguments {
    fn of_query(query: &str) -> Self {
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut given = Object::new();
        for (name, value) in &query {
            match given.get_mut(name) {
                None => drop(given.insert(name.clone(), value.as_str().into())),
                Some(Value::Array(values)) => values.push(value.as_str().into()),
                Some(first) => *first = vec![first.take(), value.as_str().into()].into(),
            }
        }
        Self { given, query }
    }

    /// The members of a body.
    pub fn of_body(body: Object) -> Self {
        Self { given: body, query: Vec::new() }
    }

    /// The query as it came.
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.given.shift_remove(name).filter(|value| !value.is_null())
    }

    /// A text.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(format!("Expected string for {name}: {other}"))),
        }
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn needed(&mut self, name: &str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| wrong(format!("Missing mandatory parameter: {name}")))
    }

    /// A boolean, or text for one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        let flag = self.take(name).map(|value| flag::read(&value)).transpose();
        flag.map_err(|error| wrong(format!("Invalid {name}: {error}")))
    }

    /// An integer, or text for one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        number.map(Some).ok_or_else(|| wrong(format!("Expected an integer for {name}: {}", shown(&value))))
    }

    /// A UUID.
    ///
    /// # Errors
    /// When it is none.
    pub fn uuid(&mut self, name: &str) -> Result<Option<Uuid>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let uuid = value.as_str().and_then(|text| text.parse().ok());
        uuid.map(Some).ok_or_else(|| wrong(format!("Expected UUID for {name}: {}", shown(&value))))
    }

    /// A UUID or a name.
    ///
    /// # Errors
    /// When it is neither.
    pub fn ident(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.text(name)? {
            Some(text) if !is_logical_name(&text) => Err(wrong(format!("Expected UUID or name for {name}: {text}"))),
            ident => Ok(ident),
        }
    }

    /// A MAC address.
    ///
    /// # Errors
    /// When it is none.
    pub fn address(&mut self, name: &str) -> Result<Option<MacAddress>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| wrong(format!("Expected valid MAC address for {name}: {text}")))
    }

    /// Words with commas between them, or a list of texts: lower-case, each once.
    ///
    /// # Errors
    /// When it is neither.
    pub fn words(&mut self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let joined = match self.take(name) {
            None => return Ok(None),
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
                list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
            }
            Some(Value::String(text)) => text,
            Some(other) => return Err(wrong(format!("Expected string for {name}: {other}"))),
        };
        let mut words: Vec<String> = Vec::new();
        for word in joined.split(',').map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        Ok(Some(words))
    }

    /// A list, whatever is in it.
    ///
    /// # Errors
    /// When it is something else.
    pub fn list(&mut self, name: &str) -> Result<Option<Value>, ApiError> {
        match self.take(name) {
            Some(value) if !value.is_array() => {
                Err(wrong(format!("Expected types <class 'NoneType'>, <class 'list'> for {name}: {}", shown(&value))))
            }
            list => Ok(list),
        }
    }

    /// Whatever it is.
    pub fn any(&mut self, name: &str) -> Option<Value> {
        self.take(name)
    }

    /// There is nothing else.
    ///
    /// # Errors
    /// Names what there is.
    pub fn end(self) -> Result<(), ApiError> {
        let rest: Vec<String> = self.given.into_iter().map(|(name, _)| name).collect();
        match rest.is_empty() {
            true => Ok(()),
            false => Err(wrong(format!("Unexpected arguments: {}", rest.join(", ")))),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Arguments {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self::of_query(parts.uri.query().unwrap_or_default()))
    }
}

/// The arguments of a request with a body.
#[derive(Debug)]
pub struct WithBody(pub Arguments);

impl<S: Send + Sync> FromRequest<S> for WithBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let mut arguments = Arguments::of_query(request.uri().query().unwrap_or_default());
        match OptionalJson::<Value>::from_request(request, state).await?.0 {
            None | Some(Value::Null) => {}
            Some(Value::Object(body)) => arguments.given.extend(body),
            Some(other) => return Err(wrong(format!("Invalid input: expected an object, not {other}"))),
        }
        Ok(Self(arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Arguments {
        Arguments::of_query(query)
    }

    #[test]
    fn values_are_read_by_their_kind() {
        let mut arguments =
            of("limit=3&detail=True&marker=00000000-0000-0000-0000-000000000001&fields=A,b,%20a&node=x.y");
        assert_eq!(arguments.integer("limit").unwrap(), Some(3));
        assert_eq!(arguments.boolean("detail").unwrap(), Some(true));
        assert_eq!(arguments.uuid("marker").unwrap(), Some(Uuid::from_u128(1)));
        assert_eq!(arguments.words("fields").unwrap(), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(arguments.ident("node").unwrap().as_deref(), Some("x.y"));
        assert_eq!(arguments.text("none").unwrap(), None);
        assert!(arguments.end().is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |result: Result<(), ApiError>| result.unwrap_err().to_string();
        assert_eq!(error(of("limit=x").integer("limit").map(drop)), "Expected an integer for limit: x");
        assert_eq!(
            error(of("limit=2&limit=3").integer("limit").map(drop)),
            r#"Expected an integer for limit: ["2","3"]"#
        );
        assert_eq!(error(of("marker=first").uuid("marker").map(drop)), "Expected UUID for marker: first");
        assert!(
            error(of("detail=maybe").boolean("detail").map(drop)).starts_with("Invalid detail: Unrecognized value")
        );
        assert_eq!(error(of("").needed("target").map(drop)), "Missing mandatory parameter: target");
        assert_eq!(error(of("a=1&b=2").end()), "Unexpected arguments: a, b");
    }
}
