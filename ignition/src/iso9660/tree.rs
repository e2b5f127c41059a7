//! Every file of an image by the path that its maker gave it, which ISO 9660 alone does not keep: Rock Ridge (IEEE P1282,
//! in the fields of IEEE P1281) and Joliet do.

use std::io::{Read, Seek};

use super::{Extent, Iso9660, IsoError, Record};

/// Directories below each other; ISO 9660 itself allows eight.
const MAX_DEPTH: usize = 16;
/// Files and directories of one image.
const MAX_RECORDS: usize = 10_000;

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    RockRidge,
    Joliet,
    /// In capitals, as the standard wants them; shown in small letters, as by Linux.
    Plain,
}

/// Whether a supplementary volume descriptor is that of names in UCS-2.
pub(super) fn is_joliet(descriptor: &[u8]) -> bool {
    [b"%/@", b"%/C", b"%/E"].iter().any(|escape| descriptor[88..].starts_with(*escape))
}

impl<R: Read + Seek> Iso9660<R> {
    /// Every file, with its path (`openstack/latest/meta_data.json`). Links are empty files.
    ///
    /// # Errors
    /// [`IsoError::Damaged`] when the tree is deeper or larger than that of any real image, or a name is no name.
    pub fn tree(&mut self) -> Result<Vec<(String, Extent)>, IsoError> {
        let (names, root) = self.names()?;
        let mut files = Vec::new();
        let mut directories = vec![(String::new(), root, 0)];
        let mut records = 0;
        while let Some((path, directory, depth)) = directories.pop() {
            let mut below = Vec::new();
            self.walk(directory, |record| {
                // The directory itself, and the one above.
                if !matches!(record.name, [0 | 1]) {
                    below.push((names.of(record), record.extent, record.is_directory));
                }
                None::<()>
            })?;
            records += below.len();
            if records > MAX_RECORDS || depth > MAX_DEPTH {
                return Err(IsoError::Damaged("its directories are too many or too deep"));
            }
            for (name, extent, is_directory) in below {
                if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']) {
                    return Err(IsoError::Damaged("a file has a name that is none"));
                }
                let path = if path.is_empty() { name } else { format!("{path}/{name}") };
                match is_directory {
                    true => directories.push((path, extent, depth + 1)),
                    false => files.push((path, self.inside(extent)?)),
                }
            }
        }
        Ok(files)
    }

    fn names(&mut self) -> Result<(Names, Extent), IsoError> {
        // The first record is that of the root itself; there Rock Ridge says that it is used.
        let first = self.walk(self.root, |record| Some(record.system_use.starts_with(b"SP\x07\x01\xbe\xef")))?;
        Ok(match (first, self.joliet) {
            (Some(true), _) => (Names::RockRidge, self.root),
            (_, Some(joliet)) => (Names::Joliet, joliet),
            _ => (Names::Plain, self.root),
        })
    }
}

impl Names {
    fn of(self, record: &Record<'_>) -> String {
        let plain = || String::from_utf8_lossy(record.plain_name()).trim_end_matches('.').to_lowercase();
        match self {
            Self::RockRidge => rock_ridge(record.system_use).unwrap_or_else(plain),
            Self::Joliet => {
                let units: Vec<u16> =
                    record.name.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
                let name = String::from_utf16_lossy(&units);
                name.split(';').next().unwrap_or_default().to_string()
            }
            Self::Plain => plain(),
        }
    }
}

/// The parts of a name that stand in the record itself: 200 characters at least.
fn rock_ridge(mut fields: &[u8]) -> Option<String> {
    let mut name = Vec::new();
    while let [first, second, length, _, ..] = *fields {
        let field = fields.get(..usize::from(length)).filter(|field| field.len() >= 4)?;
        if [first, second] == *b"NM" {
            name.extend_from_slice(field.get(5..)?);
        }
        fields = &fields[field.len()..];
    }
    (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::process::Command;

    use super::*;

    /// An image of a small tree, by the program that everybody uses; nothing, and a word on that, where it is not installed.
    fn image(options: &[&str]) -> Option<Vec<u8>> {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree/openstack/Latest");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("meta_data.json"), "{}").unwrap();
        std::fs::write(tree.join("a rather long name with blanks.TXT"), "text").unwrap();
        let iso = directory.path().join("iso");
        let made = Command::new("genisoimage")
            .args(options)
            .args(["-quiet", "-o"])
            .args([&iso, &directory.path().join("tree")])
            .status();
        assert!(made.as_ref().map_or(true, |status| status.success()));
        if made.is_err() {
            eprintln!("skipped: there is no genisoimage");
        }
        made.ok().map(|_| std::fs::read(iso).unwrap())
    }

    fn tree(iso: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut image = Iso9660::open(Cursor::new(iso)).unwrap();
        let files = image.tree().unwrap();
        let mut files: Vec<_> =
            files.into_iter().map(|(path, extent)| (path, image.read(extent, 1 << 20).unwrap())).collect();
        files.sort();
        files
    }

    #[test]
    fn files_have_the_names_that_they_were_given() {
        let expected = [
            ("openstack/Latest/a rather long name with blanks.TXT".to_string(), b"text".to_vec()),
            ("openstack/Latest/meta_data.json".to_string(), b"{}".to_vec()),
        ];
        for options in [&["-J", "-r"][..], &["-J"], &["-r"]] {
            let Some(iso) = image(options) else { return };
            assert_eq!(tree(&iso), expected, "{options:?}");
        }
        let Some(iso) = image(&[]) else { return };
        assert!(tree(&iso).contains(&("openstac/latest/meta_dat.jso".into(), b"{}".to_vec())));
    }

    #[test]
    fn a_directory_that_holds_itself_is_damage() {
        let Some(mut iso) = image(&["-r"]) else { return };
        let root = Iso9660::open(Cursor::new(&iso)).unwrap().root;
        let mut found = None;
        Iso9660::open(Cursor::new(&iso))
            .unwrap()
            .walk(root, |record| {
                found = found.or((record.name.len() > 1).then_some(record.extent));
                None::<()>
            })
            .unwrap();
        // The place of the one directory in the root, little endian.
        let old = ((found.unwrap().offset / 2048) as u32).to_le_bytes();
        let new = ((root.offset / 2048) as u32).to_le_bytes();
        let area = &mut iso[root.offset as usize..][..2048];
        for at in 0..2044 {
            if area[at..at + 4] == old {
                area[at..at + 4].copy_from_slice(&new);
            }
        }
        let error = Iso9660::open(Cursor::new(&iso)).unwrap().tree().unwrap_err();
        assert!(matches!(error, IsoError::Damaged(_)), "{error}");
    }

    #[test]
    fn names_in_lower_case_are_found_as_well() {
        let relaxed = ["-allow-lowercase", "-allow-multidot", "-l"];
        let Some(iso) = image(&relaxed) else { return };
        let mut iso = Iso9660::open(Cursor::new(iso)).unwrap();
        let extent = iso.find("openstack/Latest/meta_data.json").unwrap();
        assert_eq!(iso.read(extent, 9).unwrap(), b"{}");
        assert!(iso.find("openstack/latest/other.json").is_err());
    }
}
