//! Texts that devices and firmware say of themselves, made fit for people and JSON.

/// Text without blanks around it and without control characters: what is in them comes from outside.
pub(crate) fn printable(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_go_and_letters_stay() {
        assert_eq!(printable(" \u{1b}[31mD\0isk\n Größe\t "), "[31mDisk Größe");
    }
}
