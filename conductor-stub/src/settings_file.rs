//! Files that people write: YAML, and with it JSON. What is wrong with one is said with file, line and key.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_path_to_error::{Deserializer, Track};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not readable.
    #[error("{}: {cause}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// No JSON, or not what it should be.
    #[error("{}: {key}{cause}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Where it is, as `key.key[index]: `; empty at the top.
        key: String,
        /// What is wrong, with line and column.
        cause: serde_json::Error,
    },
    /// No YAML, or not what it should be.
    #[error("{}: {key}{cause}", file.display())]
    Yaml {
        /// The file.
        file: PathBuf,
        /// As for JSON.
        key: String,
        /// What is wrong, with line and column.
        cause: Box<serde_saphyr::Error>,
    },
}

/// Reads a file.
///
/// # Errors
/// When it cannot be read, is neither YAML nor JSON, or has a key that nobody knows.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T, SettingsError> {
    let text = std::fs::read_to_string(file).map_err(|cause| SettingsError::Read { file: file.to_owned(), cause })?;
    parse(file, &text)
}

fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, SettingsError> {
    let file = file.to_owned();
    let mut track = Track::new();
    // JSON may be indented by tabs, YAML may not.
    if text.trim_start().starts_with('{') {
        let mut json = serde_json::Deserializer::from_str(text);
        let read =
            T::deserialize(Deserializer::new(&mut json, &mut track)).and_then(|value| json.end().map(|()| value));
        return read.map_err(|cause| SettingsError::Json { file, key: key(track), cause });
    }
    // Lines of the file may hold secrets.
    let options = serde_saphyr::options! { with_snippet: false };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        T::deserialize(Deserializer::new(yaml, &mut track))
    });
    read.map_err(|cause| SettingsError::Yaml { file, key: key(track), cause: Box::new(cause) })
}

fn key(track: Track) -> String {
    match track.path().to_string().as_str() {
        "." => String::new(),
        path => format!("{path}: "),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rack {
        height_units: u32,
        #[serde(default)]
        machines: Vec<Machine>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Machine {
        name: String,
        memory_mib: u32,
    }

    fn read(text: &str) -> Result<Rack, String> {
        parse(Path::new("rack.yaml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = read("# a rack\nheight_units: 42\nmachines:\n  - name: one\n    memory_mib: 1024\n").unwrap();
        let json = read("{\n\t\"height_units\": 42,\n\t\"machines\": [{\"name\": \"one\", \"memory_mib\": 1024}]\n}\n");
        assert_eq!(Ok(yaml), json);
    }

    #[test]
    fn an_error_names_file_line_and_key() {
        for text in [
            "height_units: 42\nmachines:\n  - name: one\n    memory_mib: much\n",
            "{\"height_units\": 42,\n \"machines\": [\n  {\"name\": \"one\",\n   \"memory_mib\": \"much\"}]}",
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("rack.yaml: machines[0].memory_mib: "), "{error}");
            assert!(error.contains("line 4"), "{error}");
        }
        for text in ["height_units: 42\nmachnes: []\n", "{\"height_units\": 42,\n \"machnes\": []}"] {
            let error = read(text).unwrap_err();
            assert!(error.contains("machnes") && error.contains("line 2"), "{error}");
        }
        assert!(read("height_units: [42\n").is_err());
        assert!(read("{\"height_units\": 42} {}").is_err());
    }
}
