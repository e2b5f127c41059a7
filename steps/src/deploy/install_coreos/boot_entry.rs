//! Texts of the boot partition, changed as coreos-installer changes them (its `src/io/bls.rs` and `src/install.rs`): the
//! entry of the boot loader specification that is booted, and GRUB's settings for consoles.

use thiserror::Error;

const OPTIONS: &str = "options ";
const CONSOLE_START: &str = "\n# CONSOLE-SETTINGS-START\n";
const CONSOLE_END: &str = "# CONSOLE-SETTINGS-END\n";

/// A text that is not what CoreOS has there.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum BootEntryError {
    /// One entry has one list of kernel arguments.
    #[error("the boot entry has {0} lines with options instead of one")]
    Options(usize),
    /// What the place of the platform is known by.
    #[error("the boot entry has no ignition.platform.id=metal")]
    Platform,
    /// Where the settings for consoles are.
    #[error("GRUB's configuration has no place for settings of consoles")]
    Consoles,
}

/// The entry with its kernel arguments changed.
pub(super) fn with_options(
    entry: &str,
    change: impl FnOnce(&str) -> Result<String, BootEntryError>,
) -> Result<String, BootEntryError> {
    let lines: Vec<&str> = entry.lines().collect();
    let found: Vec<usize> = (0..lines.len()).filter(|line| lines[*line].starts_with(OPTIONS)).collect();
    let [place] = found[..] else { return Err(BootEntryError::Options(found.len())) };
    let options = change(lines[place][OPTIONS.len()..].trim())?;
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        match number == place {
            true => text.extend([OPTIONS, options.trim()]),
            false => text.push_str(line.trim_end()),
        }
        text.push('\n');
    }
    Ok(text)
}

/// Kernel arguments without some, and with others at their end.
pub(super) fn edited(options: &str, append: &[String], delete: &[String]) -> String {
    let mut text = format!(" {options} ");
    for argument in delete {
        text = text.replace(&format!(" {} ", argument.trim()), " ");
    }
    for argument in append {
        text.push_str(argument.trim());
        text.push(' ');
    }
    text.trim().to_string()
}

/// Kernel arguments for another platform than `metal`.
pub(super) fn for_platform(options: &str, platform: &str) -> Result<String, BootEntryError> {
    let text = format!(" {options} ");
    let changed = text.replace(" ignition.platform.id=metal ", &format!(" ignition.platform.id={platform} "));
    if changed == text { Err(BootEntryError::Platform) } else { Ok(changed.trim().to_string()) }
}

/// The value of a key of the entry: `initrd`.
pub(super) fn value<'a>(entry: &'a str, key: &str) -> Option<&'a str> {
    entry
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(found, _)| *found == key)
        .map(|(_, value)| value.trim())
        .next_back()
}

/// GRUB's configuration with these commands for consoles.
pub(super) fn with_console_commands(grub: &str, commands: &[String]) -> Result<String, BootEntryError> {
    let (before, rest) = grub.split_once(CONSOLE_START).ok_or(BootEntryError::Consoles)?;
    let end = match rest.starts_with(CONSOLE_END) {
        true => 0,
        // The last one, at the start of a line.
        false => rest.rfind(&format!("\n{CONSOLE_END}")).ok_or(BootEntryError::Consoles)? + 1,
    };
    let commands: String = commands.iter().map(|command| format!("{command}\n")).collect();
    Ok(format!("{before}{CONSOLE_START}{commands}{}", &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str =
        "title CoreOS  \nversion 1\noptions  a=1 ignition.platform.id=metal b a=1 \nlinux /v\ninitrd /i\n";

    #[test]
    fn kernel_arguments_are_edited_in_their_place() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_string()).collect::<Vec<_>>();
        let changed = with_options(ENTRY, |options| Ok(edited(options, &words(&["c d"]), &words(&["a=1"])))).unwrap();
        assert_eq!(changed, "title CoreOS\nversion 1\noptions ignition.platform.id=metal b c d\nlinux /v\ninitrd /i\n");
        let platform = with_options(ENTRY, |options| for_platform(options, "qemu")).unwrap();
        assert!(platform.contains("options a=1 ignition.platform.id=qemu b a=1\n"));
        assert_eq!(with_options("linux /v\n", |_| Ok(String::new())), Err(BootEntryError::Options(0)));
        assert_eq!(for_platform("a", "qemu"), Err(BootEntryError::Platform));
        assert_eq!(value(ENTRY, "initrd"), Some("/i"));
    }

    #[test]
    fn settings_of_consoles_are_replaced() {
        let grub = "a\n# CONSOLE-SETTINGS-START\nold\n# CONSOLE-SETTINGS-END\nb\n";
        let changed = with_console_commands(grub, &["new".to_string()]).unwrap();
        assert_eq!(changed, "a\n# CONSOLE-SETTINGS-START\nnew\n# CONSOLE-SETTINGS-END\nb\n");
        assert_eq!(with_console_commands(&changed, &[]).unwrap(), grub.replace("old\n", ""));
        assert_eq!(with_console_commands("a\n", &[]), Err(BootEntryError::Consoles));
    }
}
