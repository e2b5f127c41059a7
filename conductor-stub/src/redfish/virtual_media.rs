//! Virtual media: the devices of the system, else of its managers, and every way in which BMCs want to be asked.

use serde_json::{Value, json};

use super::client::Resource;
use super::{RedfishError, System};

/// Requests that one insertion may take: each refusal may add one thing that this BMC wants to be told.
const INSERT_ATTEMPTS: u32 = 4;

/// Puts the image at `url` into the first device that takes it. Whatever is inserted already is ejected first,
/// because BMCs keep reporting media that are long gone.
///
/// # Errors
/// [`RedfishError::NoMedia`] with what each device said, or why the BMC could not be asked.
pub async fn insert(system: &System<'_>, url: &str) -> Result<(), RedfishError> {
    let mut reasons = Vec::new();
    for device in devices(system).await? {
        if device.body["Inserted"] == true
            && let Err(error) = eject_device(system, &device).await
        {
            tracing::info!(device = device.path, %error, "the old medium stays");
        }
        match insert_device(system, &device, url).await {
            Ok(()) => return Ok(()),
            Err(error) => reasons.push(format!("{}: {error}", device.path)),
        }
    }
    if reasons.is_empty() {
        reasons.push("the machine has no virtual CD".into());
    }
    Err(RedfishError::NoMedia { image: url.to_string(), reasons: reasons.join("; ") })
}

/// Ejects every medium from the machine's virtual CDs.
///
/// # Errors
/// The first refusal, after every device has been asked.
pub async fn eject(system: &System<'_>) -> Result<(), RedfishError> {
    let mut outcome = Ok(());
    for device in devices(system).await? {
        if device.body["Inserted"] == true {
            outcome = outcome.and(eject_device(system, &device).await);
        }
    }
    outcome
}

/// What is in the machine's virtual CDs, each as the BMC shows it.
///
/// # Errors
/// Why the BMC could not be asked.
pub async fn list(system: &System<'_>) -> Result<Vec<Value>, RedfishError> {
    Ok(devices(system).await?.into_iter().map(|device| device.body).collect())
}

/// The CD devices, by link: of the system when it has a list of its own, else of its managers.
async fn devices(system: &System<'_>) -> Result<Vec<Resource>, RedfishError> {
    let document = system.read().await?.body;
    let mut lists: Vec<String> = link(&document["VirtualMedia"]).into_iter().collect();
    if lists.is_empty() {
        for manager in document["Links"]["ManagedBy"].as_array().into_iter().flatten() {
            if let Some(path) = link(manager) {
                lists.extend(link(&system.client.get(&path).await?.body["VirtualMedia"]));
            }
        }
    }
    let mut devices = Vec::new();
    for list in lists {
        let members = system.client.get(&list).await?.body;
        for member in members["Members"].as_array().into_iter().flatten() {
            if let Some(path) = link(member) {
                let device = system.client.get(&path).await?;
                let types = device.body["MediaTypes"].as_array();
                if types.is_some_and(|types| types.iter().any(|kind| kind == "CD" || kind == "DVD")) {
                    devices.push(device);
                }
            }
        }
    }
    Ok(devices)
}

fn link(value: &Value) -> Option<String> {
    value["@odata.id"].as_str().map(str::to_string)
}

fn action<'a>(device: &'a Resource, name: &str) -> Option<&'a str> {
    device.body["Actions"][name]["target"].as_str()
}

async fn insert_device(system: &System<'_>, device: &Resource, url: &str) -> Result<(), RedfishError> {
    let Some(target) = action(device, "#VirtualMedia.InsertMedia") else {
        if device.allow.contains("PATCH") {
            let body = json!({"Image": url, "Inserted": true, "WriteProtected": true});
            return system.client.patch(device, &body).await;
        }
        let problem = "media cannot be inserted by Redfish here".into();
        return Err(RedfishError::Document { url: device.path.clone(), problem });
    };
    // More than the URL makes some BMCs refuse; less than they want makes others say what is missing.
    let mut body = json!({"Image": url});
    let mut attempt = 1;
    loop {
        match system.client.post(target, Some(&body)).await {
            Ok(_) => return Ok(()),
            Err(error) if attempt < INSERT_ATTEMPTS && add_what_is_missing(&mut body, &error, url) => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Adds to `body` what the refusal asks for; false when it asks for nothing that is known.
fn add_what_is_missing(body: &mut Value, error: &RedfishError, url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default().to_uppercase();
    let additions = [
        ("TransferProtocolType", vec![("TransferProtocolType", scheme)]),
        ("TransferMethod", vec![("TransferMethod", "Stream".to_string())]),
        // NVIDIA DGX wants credentials even where none are needed.
        ("UserName", vec![("UserName", "none".to_string()), ("Password", "none".to_string())]),
    ];
    for (word, values) in additions {
        if error.mentions(word) && body.get(word).is_none() {
            for (key, value) in values {
                body[key] = value.into();
            }
            return true;
        }
    }
    false
}

async fn eject_device(system: &System<'_>, device: &Resource) -> Result<(), RedfishError> {
    let Some(target) = action(device, "#VirtualMedia.EjectMedia") else {
        return system.client.patch(device, &json!({"Image": null, "Inserted": false})).await;
    };
    let mut outcome = system.client.post(target, None).await;
    if let Err(error) = &outcome
        && matches!(error.status(), Some(400 | 415))
    {
        // HPE iLO wants an empty object.
        outcome = system.client.post(target, Some(&json!({}))).await;
    }
    match outcome {
        Ok(_) => Ok(()),
        // What counts is that it is gone.
        Err(error) => match system.client.get(&device.path).await {
            Ok(now) if now.body["Inserted"] == false => Ok(()),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(message: &str) -> RedfishError {
        let body = json!({"error": {"@Message.ExtendedInfo": [{"MessageId": "Base.1.8.ActionParameterMissing",
            "MessageArgs": [message]}]}});
        RedfishError::Refused { url: "x".into(), status: 400, text: String::new(), body }
    }

    #[test]
    fn a_bmc_is_told_what_it_misses_once() {
        let mut body = json!({"Image": "https://h/a.iso"});
        assert!(add_what_is_missing(&mut body, &refusal("TransferProtocolType"), "https://h/a.iso"));
        assert_eq!(body["TransferProtocolType"], "HTTPS");
        assert!(!add_what_is_missing(&mut body, &refusal("TransferProtocolType"), "https://h/a.iso"));
        assert!(add_what_is_missing(&mut body, &refusal("UserName"), "https://h/a.iso"));
        assert_eq!(body["Password"], "none");
    }
}
