//! Which fields of a resource an answer shows: those that were asked for, and only those that the client's version has.

use serde_json::{Map, Value};

use super::arguments::Arguments;
use super::version::Version;
use crate::error::ApiError;
use crate::node::Object;

/// A field of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The first minor version that has it.
    pub since: u32,
    /// Where it is in a stored document; lists can be sorted by it then.
    pub place: Option<&'static str>,
}

/// A field that lists cannot be sorted by.
pub const fn field(name: &'static str, since: u32) -> Field {
    Field { name, since, place: None }
}

/// A field that lists can be sorted by.
pub const fn sorted(name: &'static str, since: u32, place: &'static str) -> Field {
    Field { name, since, place: Some(place) }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    All,
    /// These.
    Some(Vec<String>),
}

impl Wanted {
    /// From `fields` and `detail`; with neither, `default`.
    ///
    /// # Errors
    /// 400 for both at once and for fields that there are not, 406 for fields of a later version.
    pub fn read(
        arguments: &mut Arguments,
        version: Version,
        known: &[Field],
        default: Option<&[&str]>,
    ) -> Result<Self, ApiError> {
        let fields = arguments.words("fields")?;
        let detail = match default {
            Some(_) => arguments.boolean("detail")?,
            None => None,
        };
        if fields.is_some() && detail == Some(true) {
            return Err(ApiError::Invalid("Can not specify ?detail=True and fields in the same request.".into()));
        }
        if fields.is_some() {
            version.needs(8)?;
        }
        if detail == Some(true) {
            version.needs(43)?;
        }
        let Some(fields) = fields else {
            return Ok(match default {
                Some(default) if detail != Some(true) => Self::of_names(default),
                _ => Self::All,
            });
        };
        check(&fields, version, known)?;
        let mut once: Vec<String> = Vec::new();
        for field in fields {
            if !once.contains(&field) {
                once.push(field);
            }
        }
        Ok(Self::Some(once))
    }

    /// These.
    pub fn of_names(names: &[&str]) -> Self {
        Self::Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// These as well.
    #[must_use]
    pub fn and(self, names: &[&str]) -> Self {
        let Self::Some(mut fields) = self else { return Self::All };
        fields.extend(
            names
                .iter()
                .filter(|name| !fields.iter().any(|field| field == *name))
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        );
        Self::Some(fields)
    }

    /// Where in stored documents everything is that was asked for; none when it is not all there.
    pub fn places(&self, known: &[Field]) -> Option<Vec<(&'static str, &'static str)>> {
        let Self::Some(fields) = self else { return None };
        let find = |name: &String| known.iter().find(|field| field.name == name);
        fields.iter().map(|name| find(name).and_then(|field| Some((field.name, field.place?)))).collect()
    }

    /// The part of `whole` to show; its links are always.
    pub fn of(&self, mut whole: Object) -> Value {
        let Self::Some(fields) = self else { return Value::Object(whole) };
        let mut picked = Map::new();
        for field in fields.iter().map(String::as_str).chain(["links"]) {
            if let Some(value) = whole.shift_remove(field) {
                picked.insert(field.into(), value);
            }
        }
        Value::Object(picked)
    }
}

fn check(fields: &[String], version: Version, known: &[Field]) -> Result<(), ApiError> {
    let find = |name: &String| known.iter().find(|field| field.name == name);
    let unknown: Vec<&str> = fields.iter().filter(|name| find(name).is_none()).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(ApiError::Invalid(format!("Field(s) \"{}\" are not valid", unknown.join(", "))));
    }
    if fields.iter().filter_map(find).any(|field| version.0 < field.since) {
        return Err(ApiError::not_acceptable());
    }
    Ok(())
}

/// Takes the fields away that a client of `version` does not know.
pub fn hide_newer(view: &mut Object, version: Version, known: &[Field]) {
    for field in known.iter().filter(|field| version.0 < field.since) {
        view.shift_remove(field.name);
    }
}

/// Refuses fields that a client of `version` cannot know.
///
/// # Errors
/// 406.
pub fn refuse_newer<'a>(
    names: impl IntoIterator<Item = &'a str>,
    version: Version,
    known: &[Field],
) -> Result<(), ApiError> {
    let newer = |name: &str| known.iter().any(|field| field.name == name && version.0 < field.since);
    if names.into_iter().any(newer) { Err(ApiError::not_acceptable()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: &[Field] = &[sorted("uuid", 1, "$.uuid"), field("extra", 1), field("owner", 50)];

    fn whole() -> Object {
        json!({"uuid": 1, "extra": 2, "owner": 3, "links": 4}).as_object().unwrap().clone()
    }

    #[test]
    fn what_was_asked_for_is_shown_with_its_links() {
        let wanted = Wanted::Some(vec!["owner".into(), "uuid".into()]);
        assert_eq!(wanted.of(whole()), json!({"owner": 3, "uuid": 1, "links": 4}));
        assert_eq!(Wanted::All.of(whole()), Value::Object(whole()));
    }

    #[test]
    fn fields_belong_to_versions() {
        let mut view = whole();
        hide_newer(&mut view, Version(49), KNOWN);
        assert!(!view.contains_key("owner") && view.contains_key("extra"));
        assert!(refuse_newer(["owner"], Version(49), KNOWN).is_err());
        assert!(refuse_newer(["owner"], Version(50), KNOWN).is_ok());
        assert_eq!(
            check(&["x".into(), "y".into()], Version(99), KNOWN).unwrap_err().to_string(),
            "Field(s) \"x, y\" are not valid"
        );
    }
}
