//! Accounts and roles.

use serde_json::{Value, json};

use super::{ROOT, collection, link, resource, well};
use crate::bmc::account::{Entry, Role};

pub(in crate::bmc) fn service() -> Value {
    let path = format!("{ROOT}/AccountService");
    let rest = json!({"ServiceEnabled": true, "MinPasswordLength": 8, "MaxPasswordLength": 64, "Status": well(),
        "Accounts": link(&format!("{path}/Accounts")), "Roles": link(&format!("{path}/Roles"))});
    resource(&path, "AccountService.v1_7_0", "AccountService", "Accounts", rest)
}

pub(in crate::bmc) fn accounts(all: &[Entry]) -> Value {
    let path = format!("{ROOT}/AccountService/Accounts");
    collection(&path.clone(), "ManagerAccount", "Accounts", all.iter().map(|entry| format!("{path}/{}", entry.id)))
}

pub(in crate::bmc) fn account(entry: &Entry) -> Value {
    let id = entry.id.to_string();
    let role = entry.role.name();
    let rest = json!({"UserName": entry.user, "Password": null, "RoleId": role, "Enabled": entry.enabled, "Locked": false,
        "PasswordChangeRequired": entry.password_change_required, "AccountTypes": ["Redfish"],
        "Links": {"Role": link(&format!("{ROOT}/AccountService/Roles/{role}"))}});
    resource(&format!("{ROOT}/AccountService/Accounts/{id}"), "ManagerAccount.v1_6_3", &id, "Account", rest)
}

pub(in crate::bmc) fn roles() -> Value {
    let path = format!("{ROOT}/AccountService/Roles");
    collection(&path.clone(), "Role", "Roles", Role::ALL.iter().map(|role| format!("{path}/{}", role.name())))
}

pub(in crate::bmc) fn role(role: Role) -> Value {
    let path = format!("{ROOT}/AccountService/Roles/{}", role.name());
    let rest = json!({"RoleId": role.name(), "IsPredefined": true, "AssignedPrivileges": role.privileges()});
    resource(&path, "Role.v1_2_5", role.name(), "Role", rest)
}
