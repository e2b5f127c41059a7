//! Nodes.

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params, params_from_iter};
use uuid::Uuid;

use super::history::Happening;
use super::{Store, StoreError, taken};
use crate::node::Node;
use crate::state::ProvisionState;

/// Which nodes are wanted; what is not given fits all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The provision state.
    pub provision_state: Option<String>,
    /// The hardware type.
    pub driver: Option<String>,
    /// The resource class.
    pub resource_class: Option<String>,
    /// The owner.
    pub owner: Option<String>,
    /// Whether it is in maintenance.
    pub maintenance: Option<bool>,
    /// Whether an instance is on it.
    pub associated: Option<bool>,
    /// The instance on it.
    pub instance_uuid: Option<Uuid>,
}

impl Store {
    /// Writes a node, new or known, together with what happened to it.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another node has its name.
    pub fn save_node(&self, node: &Node, happenings: &[Happening]) -> Result<(), StoreError> {
        self.write(|connection| {
            put_node(connection, node)?;
            happenings.iter().try_for_each(|happening| self.put_happening(connection, node.uuid, happening))
        })
    }

    /// The node with this UUID or name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn node(&self, ident: &str) -> Result<Option<Node>, StoreError> {
        self.one("SELECT document FROM nodes WHERE uuid = ?1 OR name = ?1", ident)
    }

    /// All nodes, in the order of their creation.
    ///
    /// # Errors
    /// When the database fails.
    pub fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.many("SELECT document FROM nodes WHERE ?1 = ?1 ORDER BY rowid", "")
    }

    /// Nodes in one of these states, in the order of their creation.
    ///
    /// # Errors
    /// When the database fails.
    pub fn nodes_in(&self, states: &[ProvisionState]) -> Result<Vec<Node>, StoreError> {
        let mut nodes = Vec::new();
        for state in states {
            nodes.extend(
                self.many("SELECT document FROM nodes WHERE provision_state = ?1 ORDER BY rowid", state.as_str())?,
            );
        }
        Ok(nodes)
    }

    /// Nodes to whose machine something was being done.
    ///
    /// # Errors
    /// When the database fails.
    pub fn nodes_with_intent(&self) -> Result<Vec<Node>, StoreError> {
        self.many(
            "SELECT document FROM nodes
             WHERE ?1 = ?1 AND json_extract(document, '$.internal.intent') IS NOT NULL ORDER BY rowid",
            "",
        )
    }

    /// The next nodes that fit, at most `most`, behind the node `marker`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn page(&self, filter: &Filter, marker: Option<Uuid>, most: usize) -> Result<Vec<Node>, StoreError> {
        let conditions: [(&str, Option<SqlValue>); 8] = [
            ("provision_state = ", filter.provision_state.clone().map(Into::into)),
            ("json_extract(document, '$.spec.driver') = ", filter.driver.clone().map(Into::into)),
            ("json_extract(document, '$.spec.resource_class') = ", filter.resource_class.clone().map(Into::into)),
            ("json_extract(document, '$.spec.owner') = ", filter.owner.clone().map(Into::into)),
            ("json_extract(document, '$.spec.maintenance') = ", filter.maintenance.map(|on| i64::from(on).into())),
            (
                "(json_extract(document, '$.spec.instance_uuid') IS NOT NULL) = ",
                filter.associated.map(|on| i64::from(on).into()),
            ),
            (
                "json_extract(document, '$.spec.instance_uuid') = ",
                filter.instance_uuid.map(|uuid| uuid.to_string().into()),
            ),
            ("rowid > (SELECT rowid FROM nodes WHERE uuid = ", marker.map(|uuid| uuid.to_string().into())),
        ];
        let mut sql = String::from("SELECT document FROM nodes WHERE 1");
        let mut values = Vec::new();
        for (condition, value) in conditions {
            if let Some(value) = value {
                values.push(value);
                let close = if condition.contains("SELECT") { ")" } else { "" };
                sql += &format!(" AND {condition}?{}{close}", values.len());
            }
        }
        values.push(i64::try_from(most).unwrap_or(i64::MAX).into());
        sql += &format!(" ORDER BY rowid LIMIT ?{}", values.len());
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(0))?;
        let texts = rows.collect::<Result<Vec<_>, _>>()?;
        texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>().map_err(Into::into)
    }

    /// Removes a node and all that belongs to it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_node(&self, uuid: Uuid) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute("DELETE FROM artefacts WHERE node_uuid = ?1", [uuid.to_string()])?;
            connection.execute("DELETE FROM nodes WHERE uuid = ?1", [uuid.to_string()])?;
            Ok(())
        })
    }
}

pub(super) fn put_node(connection: &Connection, node: &Node) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO nodes (uuid, name, provision_state, document) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT(uuid) DO UPDATE SET name = ?2, provision_state = ?3, document = ?4",
        )?
        .execute(params![
            node.uuid.to_string(),
            node.spec.name,
            node.provision_state.as_str(),
            serde_json::to_string(node)?
        ])
        .map_err(|error| taken(error, || format!("A node with name {} already exists.", node.label())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Spec;

    #[test]
    fn names_are_unique() {
        let store = Store::in_memory().unwrap();
        let spec = Spec { name: Some("n1".into()), ..Spec::default() };
        store.save_node(&Node::new(Uuid::new_v4(), spec.clone()), &[]).unwrap();
        let error = store.save_node(&Node::new(Uuid::new_v4(), spec), &[]).unwrap_err();
        assert!(matches!(error, StoreError::Taken(_)), "{error}");
    }

    #[test]
    fn pages_hold_what_fits_and_no_more() {
        let store = Store::in_memory().unwrap();
        let mut uuids = Vec::new();
        for number in 0..10 {
            let driver = if number % 2 == 0 { "even" } else { "odd" };
            let spec = Spec { driver: driver.into(), maintenance: number < 4, ..Spec::default() };
            let node = Node::new(Uuid::new_v4(), spec);
            store.save_node(&node, &[]).unwrap();
            uuids.push(node.uuid);
        }
        let page = |filter: &Filter, marker: Option<Uuid>, most: usize| {
            let nodes = store.page(filter, marker, most).unwrap();
            nodes.iter().map(|node| uuids.iter().position(|uuid| *uuid == node.uuid).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(page(&Filter::default(), None, 3), [0, 1, 2]);
        assert_eq!(page(&Filter::default(), Some(uuids[7]), 3), [8, 9]);
        let even = Filter { driver: Some("even".into()), ..Filter::default() };
        assert_eq!(page(&even, Some(uuids[2]), 2), [4, 6]);
        let both = Filter { maintenance: Some(true), ..even };
        assert_eq!(page(&both, None, 9), [0, 2]);
        assert_eq!(page(&Filter { associated: Some(true), ..Filter::default() }, None, 9), Vec::<usize>::new());
        assert_eq!(page(&Filter { provision_state: Some("enroll".into()), ..Filter::default() }, None, 99).len(), 10);
    }
}
