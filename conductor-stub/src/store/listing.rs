//! Parts of long lists: the records of a table that fit, in an order, a page at a time.

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row, params_from_iter};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Store, StoreError};

/// A table of documents with a UUID each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Nodes.
    Nodes,
    /// Ports.
    Ports,
    /// Allocations.
    Allocations,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Ports => "ports",
            Self::Allocations => "allocations",
        }
    }
}

/// Which records, and in which order.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    conditions: String,
    values: Vec<SqlValue>,
    /// The place in the document by which they are sorted; without one, by age.
    pub sort: Option<&'static str>,
    /// Whether the last comes first.
    pub descending: bool,
    /// Only those behind this one.
    pub marker: Option<Uuid>,
    /// At most so many.
    pub most: usize,
}

impl Listing {
    /// The first records, so many at most.
    pub fn first(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Only those whose document has `value` at `place` (`$.spec.name`).
    #[must_use]
    pub fn equal(self, place: &'static str, value: impl Into<SqlValue>) -> Self {
        self.filter(&format!("{} = ?", at(place)), [value.into()])
    }

    /// Only those that have one of `values` at `place`.
    #[must_use]
    pub fn one_of(self, place: &'static str, values: Vec<String>) -> Self {
        let marks = vec!["?"; values.len()].join(", ");
        self.filter(&format!("{} IN ({marks})", at(place)), values.into_iter().map(Into::into))
    }

    /// Only those that have something at `place`, or nothing.
    #[must_use]
    pub fn present(self, place: &'static str, is_there: bool) -> Self {
        let not = if is_there { "NOT" } else { "" };
        self.filter(&format!("{} IS {not} NULL", at(place)), [])
    }

    /// Only those that have `part` in the text at `place`, in upper or lower case.
    #[must_use]
    pub fn containing(self, place: &'static str, part: &str) -> Self {
        let mut pattern = String::from("%");
        for letter in part.chars() {
            if matches!(letter, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern.push('%');
        self.filter(&format!("{} LIKE ? ESCAPE '\\'", at(place)), [pattern.into()])
    }

    /// Only those for which `condition` holds, with a value for each question mark in it.
    #[must_use]
    pub fn filter(mut self, condition: &str, values: impl IntoIterator<Item = SqlValue>) -> Self {
        self.conditions += &format!(" AND ({condition})");
        self.values.extend(values);
        self
    }
}

/// What stands at a place of a document.
fn at(place: &str) -> String {
    format!("json_extract(document, '{place}')")
}

impl Store {
    /// The records of `table` that `listing` wants.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list<T: DeserializeOwned>(&self, table: Table, listing: &Listing) -> Result<Vec<T>, StoreError> {
        self.records(table, listing)?.collect()
    }

    /// The same, each made when it is asked for: what a long list takes of memory is its text.
    ///
    /// # Errors
    /// When the database fails.
    pub fn records<T: DeserializeOwned>(
        &self,
        table: Table,
        listing: &Listing,
    ) -> Result<impl Iterator<Item = Result<T, StoreError>> + use<T>, StoreError> {
        let texts: Vec<String> = self.rows(table, listing, "document", |row| row.get(0))?;
        Ok(texts.into_iter().map(|text| Ok(serde_json::from_str(&text)?)))
    }

    /// What stands at these places of the records, as JSON: no record is read whole.
    ///
    /// # Errors
    /// When the database fails.
    pub fn parts(&self, table: Table, listing: &Listing, places: &[&str]) -> Result<Vec<Parts>, StoreError> {
        let columns: String = places.iter().map(|place| format!(", document -> '{place}'")).collect();
        self.rows(table, listing, &format!("uuid{columns}"), |row| {
            let value = |column| Ok(row.get::<_, Option<String>>(column)?.unwrap_or_else(|| "null".into()));
            let values = (1..=places.len()).map(value).collect::<rusqlite::Result<_>>()?;
            Ok(Parts { uuid: row.get(0)?, values })
        })
    }

    fn rows<T>(
        &self,
        table: Table,
        listing: &Listing,
        columns: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let most = i64::try_from(listing.most).unwrap_or(i64::MAX);
        let (table, direction) = (table.name(), if listing.descending { "DESC" } else { "ASC" });
        let mut values = listing.values.clone();
        let connection = self.reader();
        match listing.sort {
            None => {
                let mut behind = String::new();
                if let Some(marker) = listing.marker {
                    let comparison = if listing.descending { "<" } else { ">" };
                    behind = format!(" AND rowid {comparison} (SELECT rowid FROM {table} WHERE uuid = ?)");
                    values.push(marker.to_string().into());
                }
                values.push(most.into());
                let sql = format!(
                    "SELECT {columns} FROM {table} WHERE 1{}{behind} ORDER BY rowid {direction} LIMIT ?",
                    listing.conditions
                );
                query(&connection, &sql, values, read)
            }
            Some(place) => {
                let order = format!("{} {direction}, rowid", at(place));
                let sql = format!("SELECT uuid FROM {table} WHERE 1{} ORDER BY {order}", listing.conditions);
                let uuids: Vec<String> = query(&connection, &sql, values, |row| row.get(0))?;
                let marker = listing.marker.map(|marker| marker.to_string());
                let start =
                    marker.and_then(|marker| uuids.iter().position(|uuid| *uuid == marker)).map_or(0, |at| at + 1);
                let page: Vec<SqlValue> =
                    uuids.into_iter().skip(start).take(listing.most).map(SqlValue::from).collect();
                let marks = vec!["?"; page.len()].join(", ");
                let sql = format!("SELECT {columns} FROM {table} WHERE uuid IN ({marks}) ORDER BY {order}");
                query(&connection, &sql, page, read)
            }
        }
    }
}

/// Parts of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Whose.
    pub uuid: String,
    /// JSON, in the order of the places that were asked for; `null` where there is nothing.
    pub values: Vec<String>,
}

fn query<T>(
    connection: &Connection,
    sql: &str,
    values: Vec<SqlValue>,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params_from_iter(values), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Node, Spec};

    fn store() -> (Store, Vec<Uuid>) {
        let store = Store::in_memory().unwrap();
        let mut uuids = Vec::new();
        for (number, name) in ["d", "a", "c", "b", "e"].into_iter().enumerate() {
            let description = (number % 2 == 0).then(|| format!("100% of Rack {number}"));
            let spec = Spec { name: Some(name.into()), description, maintenance: number < 3, ..Spec::default() };
            let node = Node::new(Uuid::new_v4(), spec);
            store.save_node(&node, &[]).unwrap();
            uuids.push(node.uuid);
        }
        (store, uuids)
    }

    fn names(store: &Store, listing: &Listing) -> String {
        let nodes: Vec<Node> = store.list(Table::Nodes, listing).unwrap();
        nodes.into_iter().filter_map(|node| node.spec.name).collect()
    }

    #[test]
    fn pages_follow_one_another_in_any_order() {
        let (store, uuids) = store();
        let all = Listing { most: 2, ..Listing::default() };
        assert_eq!(names(&store, &all), "da");
        assert_eq!(names(&store, &Listing { marker: Some(uuids[1]), ..all.clone() }), "cb");
        assert_eq!(names(&store, &Listing { descending: true, ..all.clone() }), "eb");
        assert_eq!(names(&store, &Listing { descending: true, marker: Some(uuids[3]), ..all.clone() }), "ca");
        let by_name = Listing { sort: Some("$.spec.name"), ..all };
        assert_eq!(names(&store, &by_name), "ab");
        assert_eq!(names(&store, &Listing { marker: Some(uuids[3]), ..by_name.clone() }), "cd");
        assert_eq!(names(&store, &Listing { descending: true, ..by_name }), "ed");
    }

    #[test]
    fn filters_hold_together() {
        let (store, uuids) = store();
        let all = || Listing { most: 9, ..Listing::default() };
        assert_eq!(names(&store, &all().equal("$.spec.maintenance", 1)), "dac");
        assert_eq!(names(&store, &all().present("$.spec.description", false)), "ab");
        assert_eq!(names(&store, &all().containing("$.spec.description", "rack 4")), "e");
        assert_eq!(names(&store, &all().containing("$.spec.description", "0%")), "dce");
        assert_eq!(names(&store, &all().containing("$.spec.description", "_ack")), "");
        let some = all().one_of("$.uuid", vec![uuids[0].to_string(), uuids[4].to_string()]);
        assert_eq!(names(&store, &some.equal("$.spec.maintenance", 0)), "e");
        assert_eq!(names(&store, &all().one_of("$.uuid", Vec::new())), "");
    }

    #[test]
    fn parts_are_json_as_it_stands_in_the_record() {
        let (store, uuids) = store();
        let places = ["$.spec.name", "$.spec.maintenance", "$.spec.instance_uuid", "$.nothing"];
        let listing = Listing { marker: Some(uuids[0]), most: 1, ..Listing::default() };
        let values = ["\"a\"", "true", "null", "null"].map(str::to_owned).to_vec();
        assert_eq!(
            store.parts(Table::Nodes, &listing, &places).unwrap(),
            [Parts { uuid: uuids[1].to_string(), values }]
        );
    }
}
