//! Parameters of the kernel command line and of virtual media: `key=value` tokens separated by white space.

use std::collections::BTreeMap;

/// The tokens of `text` that contain `=`, split at the first one. The last of equal keys wins; quotes stay, as IPA
/// keeps them; a bare word is no parameter.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace()
        .filter_map(|token| token.split_once('='))
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_with_an_equals_sign_are_parameters() {
        let parsed =
            parse("BOOT_IMAGE=/vmlinuz root=UUID=1-2 ipa-insecure ipa-api-url=http://a ipa-api-url=\"http://b\"\n");
        assert_eq!(parsed["root"], "UUID=1-2");
        assert_eq!(parsed["ipa-api-url"], "\"http://b\"");
        assert!(!parsed.contains_key("ipa-insecure"));
    }
}
