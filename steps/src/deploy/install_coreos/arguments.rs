//! What is to be installed and how: by arguments of the step, by the config drive, by the node. Two of them that say different
//! things are refused, because nobody could tell which is meant.

use ferric_ignition::host_name;
use ferric_ignition::keyfile::Keyfile;
use ferric_ignition::network_data;
use serde_json::{Map, Value, json};

use super::agreement::agreed;
use super::ignition::Ignition;
use super::saved_partitions::SavedPartitions;
use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::deploy::image_info::{ImageInfo, is_url};
use crate::step::Step;
use crate::{ErrorKind, StepError, loose};

/// Arguments of `install_coreos`, and what the node says to it.
#[derive(Debug)]
pub struct InstallCoreos {
    pub(super) ignition: Ignition,
    /// Instead of the name that the live system has.
    pub(super) hostname: Option<String>,
    pub(super) image: Image,
    /// Network connections of the installed system.
    pub(super) keyfiles: Vec<Keyfile>,
    /// Those of the live system, too.
    pub(super) copy_network: bool,
    /// How it boots.
    pub(super) boot: Boot,
    /// What stays on the disk.
    pub(super) saved: SavedPartitions,
}

/// How the installed system boots.
#[derive(Debug, Clone, Default)]
pub(super) struct Boot {
    /// Kernel arguments to add.
    pub(super) append: Vec<String>,
    /// Kernel arguments to take out.
    pub(super) delete: Vec<String>,
    /// Consoles of kernel and boot loader: `ttyS0,115200n8`.
    pub(super) consoles: Vec<String>,
    /// Ignition platform, where it is not `metal`.
    pub(super) platform: Option<String>,
    /// Kernel arguments of the first boot, where they are not the usual ones.
    pub(super) first_boot: Option<String>,
}

impl Boot {
    /// The same for coreos-installer.
    pub(super) fn flags(&self) -> Vec<String> {
        let platform = self.platform.as_slice();
        let first_boot = self.first_boot.as_slice();
        let lists: [(&str, &[String]); 5] = [
            ("--append-karg", &self.append),
            ("--delete-karg", &self.delete),
            ("--console", &self.consoles),
            ("--platform", platform),
            ("--firstboot-args", first_boot),
        ];
        lists
            .iter()
            .flat_map(|(flag, values)| values.iter().flat_map(|value| [(*flag).to_string(), value.clone()]))
            .collect()
    }
}

/// Where the image comes from.
#[derive(Debug)]
pub(super) enum Image {
    /// It is inside of the live system.
    Live,
    /// coreos-installer fetches it; its signature is verified if there is one.
    Url(String),
    /// What is known of it: it is verified by its digest.
    Described(Box<ImageInfo>),
}

impl FromArguments for InstallCoreos {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::optional(
            "ignition",
            "Ignition configuration 3.x, as an object or JSON text. Default: user_data of the config drive.",
        ),
        Parameter::optional(
            "image_url",
            "URL of the image. Default: image_source of instance_info, else the live system's.",
        ),
        Parameter::optional(
            "image_checksum",
            "Digest of the image: ALGORITHM:HEX, HEX, or the URL of a checksum file. Default: that of instance_info.",
        ),
        Parameter::optional(
            "offline",
            "Whether the image inside of the live system is installed, even if there is a URL.",
        ),
        Parameter::optional("append_karg", "Kernel arguments to add. Default: coreos_append_karg of the meta data."),
        Parameter::optional("delete_karg", "Kernel arguments to take out."),
        Parameter::optional("ip_options", "The kernel argument ip=, in place of the ramdisk's setting."),
        Parameter::optional("console", "Consoles of kernel and boot loader, as the kernel argument console= has them."),
        Parameter::optional(
            "copy_network",
            "Whether network connections of the live system are installed. Default: coreos_copy_network of the meta data.",
        ),
        Parameter::optional(
            "network_files",
            "NetworkManager keyfiles by their names (*.nmconnection). Default: what network_data says.",
        ),
        Parameter::optional("hostname", "Host name, in place of the one that the live system has."),
        Parameter::optional("platform", "Ignition platform, in place of metal."),
        Parameter::optional("firstboot_args", "Kernel arguments of the first boot, in place of the usual ones."),
        Parameter::optional("save_partlabel", "Partitions to keep, by label; patterns as in file names."),
        Parameter::optional("save_partindex", "Partitions to keep, by number: 5, 2-4, 6-."),
    ];

    fn from_arguments(arguments: &Arguments, step: &Step) -> Result<Self, StepError> {
        let instance_info = &step.node["instance_info"];
        let configdrive = configdrive(&instance_info["configdrive"])?;
        let meta_data = &configdrive["meta_data"];
        let argument = |name: &str| value(arguments, name);
        Ok(Self {
            ignition: Ignition::agreed(argument("ignition"), &configdrive["user_data"])?,
            hostname: hostname(argument("hostname"))?,
            image: image(arguments, instance_info, step)?,
            keyfiles: keyfiles(argument("network_files"), &configdrive["network_data"])?,
            copy_network: copy_network(argument("copy_network"), meta_data, step)?,
            boot: boot(arguments, meta_data, step)?,
            saved: saved(arguments)?,
        })
    }
}

fn configdrive(value: &Value) -> Result<Value, StepError> {
    match value {
        Value::Null => Ok(json!({})),
        Value::Object(_) => Ok(value.clone()),
        Value::String(text) if text.is_empty() => Ok(json!({})),
        _ => Err(ErrorKind::Deployment.error("Cannot use a pre-rendered configdrive, please pass it as JSON data")),
    }
}

fn invalid(reason: &str) -> StepError {
    ErrorKind::InvalidParameters.error(format!("install_coreos: {reason}"))
}

fn text(arguments: &Arguments, name: &str) -> Result<Option<String>, StepError> {
    match value(arguments, name) {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) if !text.contains(char::is_control) => Ok(Some(text.clone())),
        _ => Err(invalid(&format!("the argument {name} must be a text of one line"))),
    }
}

fn flag(name: &str, given: &Value) -> Result<Option<bool>, StepError> {
    match given {
        Value::Null => Ok(None),
        given => loose::flag(given).map(Some).ok_or_else(|| invalid(&format!("{name} must be true or false"))),
    }
}

/// A list of texts; a plain text is one element.
fn list(name: &str, given: &Value) -> Result<Option<Vec<String>>, StepError> {
    let wrong = || invalid(&format!("{name} must be a text or a list of texts, each of one line"));
    let element = |one: &Value| one.as_str().filter(|one| !one.contains(char::is_control)).map(str::to_string);
    let mut elements: Vec<String> = match given {
        Value::Null => return Ok(None),
        Value::Array(list) => list.iter().map(element).collect::<Option<_>>().ok_or_else(wrong)?,
        one => vec![element(one).ok_or_else(wrong)?],
    };
    elements.retain(|one| !one.trim().is_empty());
    Ok(Some(elements))
}

fn hostname(given: &Value) -> Result<Option<String>, StepError> {
    match given {
        Value::Null => Ok(None),
        Value::String(name) if host_name::is_valid(name) => Ok(Some(name.clone())),
        other => Err(invalid(&format!("{other} is not a host name"))),
    }
}

fn copy_network(argument: &Value, meta_data: &Value, step: &Step) -> Result<bool, StepError> {
    let argument = flag("copy_network", argument)?;
    // The config drive of somebody else may hold anything.
    let of_drive = loose::flag(&meta_data["coreos_copy_network"]);
    let wanted = agreed("copy_network", argument, "coreos_copy_network of the config drive", of_drive)?;
    Ok(wanted.unwrap_or(step.site.options.core_os.copy_network))
}

fn keyfiles(given: &Value, network_data: &Value) -> Result<Vec<Keyfile>, StepError> {
    let files: &Map<String, Value> = match given {
        Value::Null => {
            let unusable = |error| ErrorKind::Deployment.error("network_data of the config drive").because(error);
            return network_data::keyfiles(network_data).map_err(unusable);
        }
        Value::Object(files) => files,
        _ => return Err(invalid("network_files must be an object of texts by file names")),
    };
    let keyfile = |(name, contents): (&String, &Value)| match contents.as_str() {
        Some(contents) => Keyfile::new(name, contents).map_err(|error| invalid(&error.to_string())),
        None => Err(invalid(&format!("the network configuration {name:?} must be a text"))),
    };
    files.iter().map(keyfile).collect()
}

fn image(arguments: &Arguments, instance_info: &Value, step: &Step) -> Result<Image, StepError> {
    let of_node = loose::text(&instance_info["image_source"]).map(str::to_string);
    let url = agreed("image_url", text(arguments, "image_url")?, "image_source of instance_info", of_node)?;
    let offline = flag("offline", value(arguments, "offline"))?.unwrap_or(false);
    let url = match url {
        None => return Ok(Image::Live),
        Some(_) if offline && value(arguments, "image_url").is_null() => return Ok(Image::Live),
        Some(_) if offline => return Err(invalid("offline and image_url exclude each other")),
        Some(url) => url,
    };
    let mut info = Map::new();
    let known = ["image_checksum", "image_os_hash_algo", "image_os_hash_value"];
    for (name, of_node) in ["checksum", "os_hash_algo", "os_hash_value"].iter().zip(known) {
        if let Some(said) = loose::text(&instance_info[of_node]) {
            info.insert((*name).to_string(), said.into());
        }
    }
    if let Some(checksum) = text(arguments, "image_checksum")? {
        let (algorithm, hex) = match checksum.split_once(':') {
            Some((algorithm, hex)) if !is_url(&checksum) => (Some(algorithm), hex),
            _ => (None, checksum.as_str()),
        };
        // Digests of one length are of one algorithm.
        let differs = |other: &str| other.len() == hex.len() && !other.eq_ignore_ascii_case(hex);
        if ["checksum", "os_hash_value"].iter().filter_map(|name| info.get(*name)?.as_str()).any(differs) {
            return Err(invalid("the argument image_checksum and instance_info do not say the same"));
        }
        info = Map::from_iter(match algorithm {
            Some(algorithm) => {
                vec![("os_hash_algo".to_string(), algorithm.into()), ("os_hash_value".to_string(), hex.into())]
            }
            None => vec![("checksum".to_string(), hex.into())],
        });
    }
    if info.is_empty() && is_url(&url) {
        return Ok(Image::Url(url));
    }
    for name in
        ["image_request_authorization", "image_server_auth_strategy", "image_server_user", "image_server_password"]
    {
        info.insert(name.to_string(), instance_info[name].clone());
    }
    info.insert("id".to_string(), url.clone().into());
    info.insert("urls".to_string(), json!([url]));
    let described = ImageInfo::parse(&Value::Object(info), step.site.options.image.md5)?;
    Ok(Image::Described(Box::new(described)))
}

fn boot(arguments: &Arguments, meta_data: &Value, step: &Step) -> Result<Boot, StepError> {
    let argument = |name: &str| value(arguments, name);
    let listed = |name: &str| Ok::<_, StepError>(list(name, argument(name))?.unwrap_or_default());
    let of_drive = list("coreos_append_karg", &meta_data["coreos_append_karg"])?;
    let appended = list("append_karg", argument("append_karg"))?;
    let appended = agreed("append_karg", appended, "coreos_append_karg of the config drive", of_drive)?;
    let ip_options = text(arguments, "ip_options")?.or_else(|| step.site.options.core_os.ip_options.clone());
    let ip_options = ip_options.filter(|options| !options.trim().is_empty());
    Ok(Boot {
        append: appended.into_iter().flatten().chain(ip_options).collect(),
        delete: listed("delete_karg")?,
        consoles: listed("console")?,
        platform: text(arguments, "platform")?,
        first_boot: text(arguments, "firstboot_args")?,
    })
}

fn saved(arguments: &Arguments) -> Result<SavedPartitions, StepError> {
    let listed = |name: &str| Ok::<_, StepError>(list(name, value(arguments, name))?.unwrap_or_default());
    SavedPartitions::new(&listed("save_partlabel")?, &listed("save_partindex")?)
        .map_err(|error| ErrorKind::InvalidParameters.error("install_coreos").because(error))
}
