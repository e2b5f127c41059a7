//! Two records side by side.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::session::Record;

/// How two documents differ at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The same type, another value.
    Value,
    /// Another type.
    Type,
    /// IPA has it, Ferric does not.
    OnlyIpa,
    /// Ferric has it, IPA does not.
    OnlyFerric,
}

/// A difference.
#[derive(Debug)]
pub(super) struct Difference {
    /// Name of the request, a blank, path in what was seen.
    pub(super) place: String,
    pub(super) kind: Kind,
    ipa: Value,
    pub(super) ferric: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value| {
            let text = value.to_string();
            text.char_indices().nth(300).map_or(text.clone(), |(end, _)| format!("{}…", &text[..end]))
        };
        write!(
            f,
            "{}\n    {:?}\n    IPA:    {}\n    Ferric: {}",
            self.place,
            self.kind,
            text(&self.ipa),
            text(&self.ferric)
        )
    }
}

/// Everything in which `ferric` differs from `ipa`.
pub(super) fn records(ipa: &Record, ferric: &Record) -> Vec<Difference> {
    let names = |record: &Record| record.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(ipa), names(ferric), "both were asked the same");
    let mut differences = Vec::new();
    for ((name, ipa), (_, ferric)) in ipa.iter().zip(ferric) {
        values(&format!("{name} "), ipa, ferric, &mut differences);
    }
    differences
}

fn values(place: &str, ipa: &Value, ferric: &Value, found: &mut Vec<Difference>) {
    let mut differ = |place: String, kind, ipa: &Value, ferric: &Value| {
        found.push(Difference { place, kind, ipa: ipa.clone(), ferric: ferric.clone() });
    };
    match (fields(ipa), fields(ferric)) {
        (Some(ipa), Some(ferric)) => {
            for (key, theirs) in &ipa {
                match ferric.get(key) {
                    Some(ours) => values(&format!("{place}/{key}"), theirs, ours, found),
                    None => found.push(Difference {
                        place: format!("{place}/{key}"),
                        kind: Kind::OnlyIpa,
                        ipa: (*theirs).clone(),
                        ferric: Value::Null,
                    }),
                }
            }
            for (key, ours) in ferric.iter().filter(|(key, _)| !ipa.contains_key(*key)) {
                found.push(Difference {
                    place: format!("{place}/{key}"),
                    kind: Kind::OnlyFerric,
                    ipa: Value::Null,
                    ferric: (*ours).clone(),
                });
            }
        }
        _ if ipa == ferric => {}
        _ if std::mem::discriminant(ipa) == std::mem::discriminant(ferric) => {
            differ(place.to_string(), Kind::Value, ipa, ferric);
        }
        _ => differ(place.to_string(), Kind::Type, ipa, ferric),
    }
}

/// The parts of an object or a list by their names. Objects in a list are called by what identifies them, so that two
/// lists are compared item by item whatever their order and length.
fn fields(value: &Value) -> Option<BTreeMap<String, &Value>> {
    const IDENTITIES: [&str; 6] = ["step", "name", "bus", "base", "thread_siblings", "numa_node"];
    match value {
        Value::Object(object) => Some(object.iter().map(|(key, value)| (key.clone(), value)).collect()),
        Value::Array(items) => {
            let identity = IDENTITIES.into_iter().find(|key| items.iter().all(|item| item.get(key).is_some()));
            let named = |(index, item): (usize, &'_ Value)| match identity {
                Some(key) => item[key].as_str().map_or_else(|| item[key].to_string(), |name| name.replace('/', "_")),
                None => index.to_string(),
            };
            Some(items.iter().enumerate().map(|(index, item)| (named((index, item)), item)).collect())
        }
        _ => None,
    }
}
