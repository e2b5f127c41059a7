//! Virtual media: the devices of the system and of its managers, and every way in which BMCs want to be asked.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{ATTEMPTS, Resource};
use super::error::{Failure, RedfishError};
use super::quirks::{self, Quirks, leading_number};
use super::system::{System, strings};

/// How long a medium may take to show up, or to be gone, after the BMC has agreed.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// What a device presents to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A CD or DVD.
    Cd,
    /// A USB stick, or else a floppy disk.
    Stick,
}

impl Kind {
    /// The media types of that kind, the better one first.
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Cd => &["CD", "DVD"],
            Self::Stick => &["USBStick", "Floppy"],
        }
    }

    /// How well a device fits: 0 best, none not at all.
    fn rank(self, device: &Value) -> Option<usize> {
        match strings(&device["MediaTypes"]) {
            Some(types) => self.types().iter().position(|kind| types.iter().any(|found| found == kind)),
            // The schema lets a device keep its types to itself.
            None => {
                let id = device["Id"].as_str().unwrap_or_default().to_lowercase();
                let is_cd = id.contains("cd") || id.contains("dvd");
                (is_cd == (self == Self::Cd)).then_some(0)
            }
        }
    }
}

/// Puts the image at `url` into the first device of that kind that takes it, and sees that it is there. Whatever is in any
/// such device is ejected before: BMCs keep reporting media that are long gone, and a machine with two may boot the other.
///
/// # Errors
/// [`RedfishError::NoMedia`] with what each device said, or why the BMC could not be asked.
pub async fn insert(system: &System<'_>, kind: Kind, url: &str) -> Result<(), RedfishError> {
    let document = system.read().await?.body;
    let managers = system.managers(&document).await?;
    let quirks = quirks::of(document["Manufacturer"].as_str().unwrap_or_default());
    let mut reasons = Vec::new();
    if kind == Kind::Cd {
        reasons.extend(too_old(quirks, &managers));
    }
    let devices = if reasons.is_empty() { devices(system, &document, &managers, kind).await? } else { Vec::new() };
    for device in devices.iter().filter(|device| is_inserted(&device.body)) {
        if let Err(error) = eject_device(system, device).await {
            tracing::info!(device = device.path, %error, "the old medium stays");
        }
    }
    for device in devices.iter().filter(|device| takes_urls(quirks, &managers, device)) {
        match insert_device(system, device, url).await {
            Ok(()) => return Ok(()),
            Err(error) => reasons.push(format!("{}: {error}", device.path)),
        }
    }
    if reasons.is_empty() {
        reasons.push(format!("the machine has no virtual {}", kind.types()[0]));
    }
    Err(RedfishError::NoMedia { image: url.to_string(), reasons: reasons.join("; ") })
}

/// Ejects every medium from the machine's virtual devices of that kind.
///
/// # Errors
/// The first refusal, after every device has been asked.
pub async fn eject(system: &System<'_>, kind: Kind) -> Result<(), RedfishError> {
    let document = system.read().await?.body;
    let managers = system.managers(&document).await?;
    let mut outcome = Ok(());
    for device in devices(system, &document, &managers, kind).await? {
        if is_inserted(&device.body) {
            outcome = outcome.and(eject_device(system, &device).await);
        }
    }
    outcome
}

/// What is in the machine's virtual devices, each as the BMC shows it.
///
/// # Errors
/// Why the BMC could not be asked.
pub async fn list(system: &System<'_>) -> Result<Vec<Value>, RedfishError> {
    let document = system.read().await?.body;
    let managers = system.managers(&document).await?;
    Ok(all_devices(system, &document, &managers).await?.into_iter().map(|device| device.body).collect())
}

/// Whether a device holds a medium; many leave `Inserted` out or do not keep it.
pub fn is_inserted(device: &Value) -> bool {
    match &device["Inserted"] {
        Value::Bool(inserted) => *inserted,
        _ => device["Image"].as_str().is_some_and(|image| !image.is_empty()),
    }
}

/// The devices of that kind, the best ones first.
async fn devices(
    system: &System<'_>,
    document: &Value,
    managers: &[Resource],
    kind: Kind,
) -> Result<Vec<Resource>, RedfishError> {
    let mut devices = all_devices(system, document, managers).await?;
    devices.retain(|device| kind.rank(&device.body).is_some());
    devices.sort_by_key(|device| kind.rank(&device.body));
    Ok(devices)
}

/// Every device, by link: of the system, then of its managers. A list or a device that is named and not there is left out.
async fn all_devices(
    system: &System<'_>,
    document: &Value,
    managers: &[Resource],
) -> Result<Vec<Resource>, RedfishError> {
    let owners = std::iter::once(document).chain(managers.iter().map(|manager| &manager.body));
    let lists: Vec<&str> = owners.filter_map(|owner| owner["VirtualMedia"]["@odata.id"].as_str()).collect();
    let mut devices: Vec<Resource> = Vec::new();
    for list in lists {
        let members = match system.client.members(list).await {
            Err(error) if error.status() == Some(404) => continue,
            other => other?,
        };
        for path in members {
            if devices.iter().any(|device| device.path == path) {
                continue;
            }
            match system.client.get(&path).await {
                Err(error) if error.status() == Some(404) => {}
                other => devices.push(other?),
            }
        }
    }
    Ok(devices)
}

/// Why this BMC's virtual CD cannot be booted, if its firmware is too old for that.
fn too_old(quirks: Quirks, managers: &[Resource]) -> Option<String> {
    let version = managers.iter().find_map(|manager| leading_number(manager.body["FirmwareVersion"].as_str()?))?;
    let generation = managers.iter().find_map(|manager| leading_number(manager.body["Model"].as_str()?));
    // Versions begin anew with iDRAC 10.
    let newer = quirks.first_slot_since.is_some_and(|first| generation.is_some_and(|found| found >= first));
    (version < quirks.cd_since_firmware && !newer).then(|| {
        let since = quirks.cd_since_firmware;
        format!(
            "firmware {version} of this BMC boots a drive in the machine instead of the virtual CD: {since} is needed"
        )
    })
}

fn takes_urls(quirks: Quirks, managers: &[Resource], device: &Resource) -> bool {
    let generation = managers.iter().filter_map(|manager| leading_number(manager.body["Model"].as_str()?)).max();
    match quirks.first_slot_since {
        Some(first) if generation.is_some_and(|found| found >= first) => device.body["Id"] == "1",
        _ => true,
    }
}

fn action<'a>(device: &'a Resource, name: &str) -> Option<&'a str> {
    device.body["Actions"][name]["target"].as_str()
}

/// Inserts into one device. A medium that has just been ejected may still be on its way out, which some BMCs answer with 5xx.
async fn insert_device(system: &System<'_>, device: &Resource, url: &str) -> Result<(), RedfishError> {
    let Some(target) = action(device, "#VirtualMedia.InsertMedia") else {
        if device.allow.contains("PATCH") {
            let now = system.client.get(&device.path).await?;
            system.client.patch(&now, &json!({"Image": url, "Inserted": true, "WriteProtected": true})).await?;
            return settle(system, device, Some(url)).await;
        }
        let problem = "media cannot be inserted by Redfish here".into();
        return Err(RedfishError::Document { url: device.path.clone(), problem });
    };
    // More than the URL makes some BMCs refuse; less than they want makes others say what is missing.
    let mut body = json!({"Image": url});
    let (mut attempt, mut ejected) = (1, false);
    loop {
        let error = match system.client.post(target, Some(&body)).await {
            Ok(_) => return settle(system, device, Some(url)).await,
            Err(error) => error,
        };
        if add_what_is_missing(&mut body, &error, url) {
            continue;
        }
        let unclear = matches!(error, RedfishError::Unreachable { failure: Failure::NoAnswer, .. });
        if unclear && settle(system, device, Some(url)).await.is_ok() {
            return Ok(());
        }
        let in_use =
            matches!(error.status(), Some(400 | 409)) && (error.has_id("ResourceInUse") || error.mentions("lready"));
        let passing = unclear || in_use || error.status().is_some_and(|status| status >= 500);
        if !passing || attempt >= ATTEMPTS {
            return Err(error);
        }
        tracing::info!(%error, attempt, "the medium is inserted again");
        tokio::time::sleep(system.client.growing_pause(attempt)).await;
        if in_use && !ejected {
            ejected = true;
            eject_device(system, device).await?;
        }
        attempt += 1;
    }
}

/// Adds to `body` what the refusal asks for; false when it asks for nothing that is known.
fn add_what_is_missing(body: &mut Value, error: &RedfishError, url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default().to_uppercase();
    let mut added = false;
    for (parameter, value) in [
        ("TransferProtocolType", Value::from(scheme)),
        ("TransferMethod", "Stream".into()),
        // NVIDIA DGX wants credentials even where none are needed.
        ("UserName", "none".into()),
        ("Password", "none".into()),
        ("Inserted", true.into()),
        ("WriteProtected", true.into()),
    ] {
        if error.misses(parameter) && body.get(parameter).is_none() {
            body[parameter] = value;
            added = true;
        }
    }
    // Neither comes alone.
    if added && (body.get("UserName").is_some() != body.get("Password").is_some()) {
        body["UserName"] = "none".into();
        body["Password"] = "none".into();
    }
    added
}

async fn eject_device(system: &System<'_>, device: &Resource) -> Result<(), RedfishError> {
    let outcome = match action(device, "#VirtualMedia.EjectMedia") {
        Some(target) => match system.client.post(target, None).await {
            // HPE iLO wants an empty object.
            Err(error) if matches!(error.status(), Some(400 | 411 | 415)) => {
                system.client.post(target, Some(&json!({}))).await.map(drop)
            }
            other => other.map(drop),
        },
        None if device.allow.contains("PATCH") => {
            system.client.patch(device, &json!({"Image": null, "Inserted": false})).await
        }
        None => {
            let problem = "media cannot be ejected by Redfish here".into();
            Err(RedfishError::Document { url: device.path.clone(), problem })
        }
    };
    match outcome {
        // Best effort: some BMCs show what is gone for a while.
        Ok(()) => {
            if let Err(error) = settle(system, device, None).await {
                tracing::info!(%error, "the medium is still shown");
            }
            Ok(())
        }
        // What counts is that it is gone.
        Err(error) => match system.client.get(&device.path).await {
            Ok(now) if !is_inserted(&now.body) => Ok(()),
            _ => Err(error),
        },
    }
}

/// Waits until the device shows what it was told. One that shows nothing at all is believed.
async fn settle(system: &System<'_>, device: &Resource, url: Option<&str>) -> Result<(), RedfishError> {
    let start = tokio::time::Instant::now();
    // A medium that is still shown does not hold up what comes next for long.
    let limit = if url.is_some() { SETTLE_LIMIT } else { system.client.growing_pause(2) };
    loop {
        let now = system.client.get(&device.path).await?.body;
        let problem = match url {
            Some(url) => not_there(&now, url),
            None => is_inserted(&now).then(|| "still has its medium".to_owned()),
        };
        let Some(problem) = problem else { return Ok(()) };
        if start.elapsed() >= limit {
            let problem = format!("{problem} {} s after it agreed", limit.as_secs());
            return Err(RedfishError::Document { url: device.path.clone(), problem });
        }
        tokio::time::sleep(system.client.growing_pause(1).min(Duration::from_secs(2))).await;
    }
}

/// What is wrong with a device that should hold `url`.
fn not_there(device: &Value, url: &str) -> Option<String> {
    let image = device["Image"].as_str().unwrap_or_default();
    // Some show the file's name only, or none.
    let other = image.contains("://") && image != url;
    match (&device["Inserted"], other) {
        (Value::Bool(false), _) => Some("shows no medium".into()),
        (_, true) => Some("shows another medium".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(message: &str) -> RedfishError {
        let body = json!({"error": {"@Message.ExtendedInfo": [{"MessageId": "Base.1.8.ActionParameterMissing",
            "MessageArgs": [message]}]}});
        RedfishError::Refused {
            url: "x".into(),
            status: 400,
            text: String::new(),
            body: Box::new(body),
            retry_after: None,
        }
    }

    #[test]
    fn a_bmc_is_told_what_it_misses_once() {
        let mut body = json!({"Image": "https://h/a.iso"});
        assert!(add_what_is_missing(&mut body, &refusal("TransferProtocolType"), "https://h/a.iso"));
        assert_eq!(body["TransferProtocolType"], "HTTPS");
        assert!(!add_what_is_missing(&mut body, &refusal("TransferProtocolType"), "https://h/a.iso"));
        assert!(add_what_is_missing(&mut body, &refusal("UserName"), "https://h/a.iso"));
        assert_eq!(body["Password"], "none");
        assert!(add_what_is_missing(&mut body, &refusal("Inserted"), "https://h/a.iso"));
        assert_eq!(body["Inserted"], true);
    }

    #[test]
    fn what_is_inserted_is_told_in_several_ways() {
        for (device, expected) in [
            (json!({"Inserted": true, "Image": null}), true),
            (json!({"Inserted": false, "Image": "http://h/old.iso"}), false),
            (json!({"Image": "http://h/old.iso", "ConnectedVia": "URI"}), true),
            (json!({"Inserted": null, "Image": ""}), false),
        ] {
            assert_eq!(is_inserted(&device), expected, "{device}");
        }
        assert_eq!(not_there(&json!({"Inserted": true, "Image": "live.iso"}), "http://h/live.iso"), None);
        assert!(not_there(&json!({"Inserted": true, "Image": "http://h/old.iso"}), "http://h/live.iso").is_some());
    }

    #[test]
    fn devices_are_told_by_their_types() {
        assert_eq!(Kind::Cd.rank(&json!({"MediaTypes": ["DVD"]})), Some(1));
        assert_eq!(Kind::Cd.rank(&json!({"MediaTypes": ["Floppy", "USBStick"]})), None);
        assert_eq!(Kind::Stick.rank(&json!({"MediaTypes": ["Floppy", "USBStick"]})), Some(0));
        assert_eq!(Kind::Cd.rank(&json!({"Id": "CD1"})), Some(0));
    }
}
