//! `clean_uefi_nvram`: boot entries that point at disks and loaders of a former user.

use fancy_regex::{Regex, RegexBuilder};
use ferric_hardware::efi::BootVariables;
use serde_json::Value;

use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// What is deleted unless the step's arguments say otherwise: entries on hard disks, shim and GRUB wherever they are.
const DEFAULT_PATTERNS: [&str; 3] = [r"^HD\(", r"shim.*\.efi", r"grub.*\.efi"];

/// Arguments of `clean_uefi_nvram`.
#[derive(Debug)]
pub struct CleanUefiNvram {
    patterns: Vec<Regex>,
}

impl FromArguments for CleanUefiNvram {
    const PARAMETERS: &'static [Parameter] = &[Parameter::optional(
        "match_patterns",
        "Regular expressions; boot entries whose device path matches one of them are deleted. Default: hard disk \
         paths, shim and GRUB.",
    )];

    fn from_arguments(arguments: &Arguments, _: &Step) -> Result<Self, StepError> {
        Ok(Self { patterns: patterns(value(arguments, "match_patterns"))? })
    }
}

/// Deletes every boot entry whose device path matches one of the patterns.
///
/// # Errors
/// [`ErrorKind::Cleaning`] when the firmware refuses.
pub async fn clean_uefi_nvram(step: &Step, CleanUefiNvram { patterns }: CleanUefiNvram) -> Result<Value, StepError> {
    step.blocking(move |step| {
        if !step.site.machine.path("/sys/firmware/efi").is_dir() {
            tracing::info!("not booted by UEFI: no boot entries to clean");
            return Ok(Value::Null);
        }
        let failed = |error: ferric_hardware::efi::EfiError| ErrorKind::Cleaning.of(error);
        let variables = BootVariables::of(&step.site.machine).map_err(failed)?;
        for entry in variables.entries().map_err(failed)? {
            let path = entry.option.path.to_string();
            if is_match(&patterns, &path).map_err(|error| ErrorKind::Cleaning.error(path.as_str()).because(error))? {
                variables.delete(entry.number).map_err(failed)?;
                tracing::info!(
                    entry = format!("Boot{:04X}", entry.number),
                    label = entry.option.label,
                    path,
                    "deleted"
                );
            }
        }
        Ok(Value::Null)
    })
    .await
}

/// Whether one of the patterns is in the path. The search for one that goes back again and again has a limit.
fn is_match(patterns: &[Regex], path: &str) -> Result<bool, fancy_regex::Error> {
    for pattern in patterns {
        if pattern.is_match(path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn patterns(argument: &Value) -> Result<Vec<Regex>, StepError> {
    let invalid = |detail: String| {
        ErrorKind::InvalidParameters.error(format!("The match_patterns must be a list of strings: {detail}"))
    };
    let compile =
        |text: &str| RegexBuilder::new(text).case_insensitive(true).build().map_err(|error| invalid(error.to_string()));
    match argument {
        Value::Null => DEFAULT_PATTERNS.into_iter().map(compile).collect(),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().ok_or_else(|| invalid(item.to_string())).and_then(compile)).collect()
        }
        other => Err(invalid(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(patterns: &[Regex], path: &str) -> bool {
        is_match(patterns, path).unwrap()
    }

    #[test]
    fn patterns_may_look_around_as_in_python_and_do_not_search_for_ever() {
        let all_but_one = patterns(&json!([r"^(?!.*\\EFI\\Kept\\)HD\("])).unwrap();
        assert!(matches(&all_but_one, r"HD(1,GPT,6f1dcd2c,0x800,0x1000)/File(\EFI\BOOT\X.EFI)"));
        assert!(!matches(&all_but_one, r"HD(1,GPT,6f1dcd2c,0x800,0x1000)/File(\EFI\kept\X.EFI)"));
        let endless = patterns(&json!([r"^(?=a)(a|aa)+\1$b"])).unwrap();
        assert!(is_match(&endless, &"a".repeat(64)).is_err());
    }

    #[test]
    fn defaults_take_disks_and_loaders_but_not_the_network() {
        let patterns = patterns(&Value::Null).unwrap();
        assert!(matches(&patterns, r"HD(1,GPT,6f1dcd2c,0x800,0x1000)/File(\EFI\X.EFI)"));
        assert!(matches(&patterns, r"PciRoot(0x0)/Pci(0x1,0x0)/File(\EFI\debian\SHIMX64.EFI)"));
        assert!(!matches(&patterns, "PciRoot(0x0)/Pci(0x2,0x0)/MAC(525400123456,1)/IPv4()"));
    }

    #[test]
    fn patterns_must_be_a_list_of_expressions() {
        for wrong in [json!("a"), json!([1]), json!(["("]), json!({"a": 1})] {
            let error = patterns(&wrong).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidParameters, "{wrong}");
        }
        assert_eq!(patterns(&json!([])).unwrap().len(), 0);
    }
}
