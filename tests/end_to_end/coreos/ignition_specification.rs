//! What Ferric takes for a valid Ignition config, and what the real `ignition-validate` does: thousands of configs, put
//! together from good and bad values for every key of the specification.

use std::fs;
use std::process::Command;

use anyhow::Result;
use ferric_ignition::specification::{self, SpecificationError};
use serde_json::{Map, Value, json};

/// Debian's Ignition reads specifications up to 3.3.0.
const MINORS: u64 = 4;
const CONFIGS: usize = 1500;

/// Numbers without pattern that are the same in every run.
struct Dice(u64);

/// A key, and what makes its value.
type Entry<'a> = (&'a str, &'a dyn Fn(&mut Dice) -> Value);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len() as u64) as usize]
    }

    /// Mostly the first, good values; now and then one of all.
    fn value(&mut self, good: &[Value], bad: &[Value]) -> Value {
        if self.one_in(12) && !bad.is_empty() { self.pick(bad).clone() } else { self.pick(good).clone() }
    }

    fn object(&mut self, entries: &[Entry<'_>]) -> Value {
        let mut map = Map::new();
        for (name, make) in entries {
            let value = make(self);
            // Three in four; what is needed says so by being first.
            if map.is_empty() || !self.one_in(4) {
                map.insert((*name).to_owned(), value);
            }
        }
        Value::Object(map)
    }

    fn list(&mut self, longest: u64, make: &dyn Fn(&mut Self) -> Value) -> Value {
        let length = self.below(longest + 1);
        (0..length).map(|_| make(self)).collect()
    }
}

fn path(dice: &mut Dice) -> Value {
    let good = ["/a", "/a/b", "/etc/x", "/etc/systemd/system/u.service", "/var/lib/long/way"].map(Value::from);
    dice.value(
        &good,
        &[json!("a"), json!(""), json!("/a/"), json!("/a//b"), json!("/../a"), json!(3), json!(null), json!("/")],
    )
}

fn flag(dice: &mut Dice) -> Value {
    dice.value(&[json!(true), json!(false)], &[json!(null), json!("true"), json!(1)])
}

fn source(dice: &mut Dice) -> Value {
    let good = [
        "data:,x",
        "data:;base64,YQ==",
        "http://192.0.2.1/x",
        "https://192.0.2.1:8080/x?y=z",
        "tftp://192.0.2.1/x",
        "s3://bucket/key",
    ];
    let bad =
        ["", "x", "gs://bucket/key", "ftp://192.0.2.1/x", "data:x", "data:;base64,Y", "file:///x", ":x", "data:,%zz"];
    dice.value(&good.map(Value::from), &[&bad.map(Value::from)[..], &[json!(1), json!(null)]].concat())
}

fn hash(dice: &mut Dice) -> Value {
    let (sha512, sha256) = ("ab".repeat(64), "ab".repeat(32));
    let good = [json!(format!("sha512-{sha512}")), json!(format!("sha512-{}", sha512.to_uppercase()))];
    dice.value(
        &good,
        &[
            json!(format!("sha256-{sha256}")),
            json!("sha512-ab"),
            json!("md5-ab"),
            json!(sha512),
            json!(null),
            json!(""),
        ],
    )
}

fn resource(dice: &mut Dice) -> Value {
    let verification = |dice: &mut Dice| dice.object(&[("hash", &hash)]);
    let header = |dice: &mut Dice| {
        let value = |dice: &mut Dice| dice.value(&[json!("v")], &[json!(""), json!(null), json!(2)]);
        dice.object(&[
            ("name", &|dice: &mut Dice| dice.value(&[json!("a"), json!("b")], &[json!("")])),
            ("value", &value),
        ])
    };
    let headers = move |dice: &mut Dice| if dice.one_in(6) { dice.list(2, &header) } else { json!([]) };
    let compression = |dice: &mut Dice| dice.value(&[json!(""), json!(null)], &[json!("xz"), json!(1)]);
    dice.object(&[
        ("source", &source),
        ("compression", &compression),
        ("verification", &verification),
        ("httpHeaders", &headers),
    ])
}

fn owner(dice: &mut Dice) -> Value {
    let entry = *dice.pick(&["id", "name", "name", "both", "none"]);
    match entry {
        "id" => json!({"id": 500}),
        "name" => json!({"name": "core"}),
        "both" => {
            dice.value(&[json!({"id": 500, "name": ""})], &[json!({"id": 500, "name": "core"}), json!({"id": "500"})])
        }
        _ => json!(null),
    }
}

fn mode(dice: &mut Dice) -> Value {
    dice.value(&[json!(420), json!(0), json!(4095)], &[json!(4096), json!(-1), json!("0644"), json!(1.5), json!(null)])
}

fn file(dice: &mut Dice) -> Value {
    dice.object(&[
        ("path", &path),
        ("mode", &mode),
        ("overwrite", &flag),
        ("contents", &resource),
        ("append", &|dice: &mut Dice| dice.list(2, &resource)),
        ("user", &owner),
        ("group", &owner),
    ])
}

fn directory(dice: &mut Dice) -> Value {
    dice.object(&[("path", &path), ("mode", &mode), ("overwrite", &flag), ("user", &owner)])
}

fn link(dice: &mut Dice) -> Value {
    let target =
        |dice: &mut Dice| dice.value(&[json!("/a"), json!("b"), json!("../x")], &[json!(""), json!(null), json!(7)]);
    dice.object(&[("path", &path), ("target", &target), ("hard", &flag)])
}

fn partition(dice: &mut Dice) -> Value {
    let number = |dice: &mut Dice| dice.value(&[json!(0), json!(1), json!(2), json!(3)], &[json!("1"), json!(null)]);
    let label = |dice: &mut Dice| {
        dice.value(&[json!("a"), json!("b"), json!("")], &[json!("c:d"), json!("l".repeat(37)), json!(null)])
    };
    let guid = |dice: &mut Dice| {
        dice.value(&[json!("01234567-89AB-CDEF-EDCB-A98765432101"), json!("")], &[json!("0123"), json!(null), json!(1)])
    };
    let mib = |dice: &mut Dice| dice.value(&[json!(0), json!(1), json!(100), json!(200)], &[json!(null), json!("1")]);
    dice.object(&[
        ("number", &number),
        ("label", &label),
        ("guid", &guid),
        ("typeGuid", &guid),
        ("startMiB", &mib),
        ("sizeMiB", &mib),
        ("shouldExist", &|dice: &mut Dice| dice.value(&[json!(true)], &[json!(false)])),
        ("wipePartitionEntry", &flag),
    ])
}

fn disk(dice: &mut Dice) -> Value {
    dice.object(&[("device", &path), ("wipeTable", &flag), ("partitions", &|dice: &mut Dice| dice.list(3, &partition))])
}

fn raid(dice: &mut Dice) -> Value {
    let level = |dice: &mut Dice| {
        dice.value(
            &[json!("raid1"), json!("linear"), json!("stripe"), json!("10")],
            &[json!(""), json!("raid7"), json!(1)],
        )
    };
    let spares = |dice: &mut Dice| dice.value(&[json!(0), json!(null)], &[json!(1), json!("1")]);
    dice.object(&[
        ("name", &|dice: &mut Dice| dice.value(&[json!("md0"), json!("md1")], &[json!(null)])),
        ("level", &level),
        ("devices", &|dice: &mut Dice| dice.list(2, &path)),
        ("spares", &spares),
    ])
}

fn file_system(dice: &mut Dice) -> Value {
    let format = |dice: &mut Dice| {
        dice.value(
            &["ext4", "btrfs", "xfs", "swap", "vfat"].map(Value::from),
            &[json!("none"), json!("zfs"), json!(""), json!(null)],
        )
    };
    let label = |dice: &mut Dice| {
        dice.value(&[json!("l"), json!("")], &[json!("l".repeat(13)), json!("l".repeat(300)), json!(1)])
    };
    dice.object(&[
        ("device", &path),
        ("format", &format),
        ("path", &path),
        ("label", &label),
        ("wipeFilesystem", &flag),
        ("options", &|dice: &mut Dice| dice.list(2, &|_| json!("-x"))),
        ("mountOptions", &|dice: &mut Dice| dice.list(2, &|_| json!("ro"))),
    ])
}

fn luks(dice: &mut Dice) -> Value {
    let tang = |dice: &mut Dice| {
        let url = |dice: &mut Dice| dice.value(&[json!("http://192.0.2.1")], &[json!("x"), json!("")]);
        dice.object(&[
            ("url", &url),
            ("thumbprint", &|dice: &mut Dice| dice.value(&[json!("t")], &[json!(""), json!(null)])),
        ])
    };
    let custom = |dice: &mut Dice| {
        let pin = |dice: &mut Dice| dice.value(&[json!("tpm2"), json!("sss")], &[json!(""), json!("x")]);
        let config = |dice: &mut Dice| dice.value(&[json!("{}")], &[json!("")]);
        dice.object(&[("pin", &pin), ("config", &config), ("needsNetwork", &flag)])
    };
    let clevis = move |dice: &mut Dice| match dice.below(4) {
        0 => json!({"tpm2": true, "threshold": 1}),
        1 => json!({"tang": dice.list(2, &tang)}),
        2 => json!({"custom": custom(dice)}),
        _ => json!({"custom": custom(dice), "tpm2": dice.one_in(2)}),
    };
    let name = |dice: &mut Dice| dice.value(&[json!("v"), json!("w")], &[json!("a/b"), json!(null)]);
    dice.object(&[
        ("name", &name),
        ("device", &path),
        ("label", &|dice: &mut Dice| dice.value(&[json!("l")], &[json!("l".repeat(48))])),
        ("keyFile", &resource),
        ("clevis", &clevis),
    ])
}

fn unit_text(dice: &mut Dice) -> Value {
    let good = [
        "[Service]\nExecStart=/bin/true \\\n  x\n[Install]\nWantedBy=a.target\n",
        "# c\n[Unit]\nA = b",
        "",
        "[Unit]\n",
    ];
    let bad = ["[Unit\nA=b\n", "A=b\n", "[Unit]\nnothing\n", "[Unit]\n=x\n"];
    dice.value(&good.map(Value::from), &[&bad.map(Value::from)[..], &[json!(null), json!(1)]].concat())
}

fn unit(dice: &mut Dice) -> Value {
    let name = |dice: &mut Dice| {
        dice.value(
            &[json!("u.service"), json!("t@.service"), json!("m.mount")],
            &[json!("u"), json!("u.conf"), json!(""), json!(null)],
        )
    };
    let dropin = |dice: &mut Dice| {
        let name = |dice: &mut Dice| dice.value(&[json!("a.conf"), json!("b.conf")], &[json!("a"), json!("")]);
        dice.object(&[("name", &name), ("contents", &unit_text)])
    };
    dice.object(&[
        ("name", &name),
        ("enabled", &flag),
        ("mask", &flag),
        ("contents", &unit_text),
        ("dropins", &|dice: &mut Dice| dice.list(2, &dropin)),
    ])
}

fn user(dice: &mut Dice) -> Value {
    let names = |dice: &mut Dice| {
        dice.list(2, &|dice: &mut Dice| dice.value(&[json!("x"), json!("y"), json!("z")], &[json!(1)]))
    };
    dice.object(&[
        ("name", &|dice: &mut Dice| dice.value(&[json!("core"), json!("root")], &[json!(1)])),
        ("groups", &names),
        ("sshAuthorizedKeys", &names),
        ("uid", &|dice: &mut Dice| dice.value(&[json!(1000)], &[json!("1000")])),
        ("noCreateHome", &flag),
    ])
}

fn config(dice: &mut Dice) -> Value {
    let version = format!("3.{}.0", dice.below(MINORS));
    let mut config = json!({"ignition": {"version": version}});
    // A few sections each, so that a good part of the configs is valid.
    for _ in 0..1 + dice.below(3) {
        match dice.below(12) {
            0 => config["ignition"]["config"] = json!({"merge": dice.list(2, &included)}),
            1 => config["ignition"]["config"] = json!({"replace": included(dice)}),
            2 => config["ignition"]["security"] = json!({"tls": {"certificateAuthorities": dice.list(2, &resource)}}),
            3 => config["ignition"]["proxy"] = proxy(dice),
            4 => config["passwd"] = json!({"users": dice.list(2, &user)}),
            5 => config["systemd"] = json!({"units": dice.list(3, &unit)}),
            6 => config["storage"]["disks"] = dice.list(2, &disk),
            7 => config["storage"]["raid"] = dice.list(2, &raid),
            8 => config["storage"]["filesystems"] = dice.list(2, &file_system),
            9 => config["storage"]["luks"] = dice.list(2, &luks),
            10 => {
                let arguments = |dice: &mut Dice| {
                    dice.list(2, &|dice: &mut Dice| dice.value(&[json!("a"), json!("b=c"), json!("d")], &[json!(1)]))
                };
                config["kernelArguments"] = json!({"shouldExist": arguments(dice), "shouldNotExist": arguments(dice)});
            }
            _ => {
                let make = *dice.pick(&[
                    ("files", file as fn(&mut Dice) -> Value),
                    ("links", link),
                    ("directories", directory),
                ]);
                config["storage"][make.0] = dice.list(3, &make.1);
                if dice.one_in(2) {
                    config["storage"]["links"] = dice.list(2, &link);
                }
            }
        }
    }
    if dice.one_in(15) {
        config["storage"] =
            dice.pick(&[json!(null), json!([]), json!("x"), json!({"files": {}}), json!({"unknown": 1})]).clone();
    }
    config
}

/// Only what has to be downloaded: `ignition-validate` does not look into what travels along, we do.
fn included(dice: &mut Dice) -> Value {
    dice.value(
        &[json!({"source": "https://192.0.2.1/a"}), json!({"source": "http://192.0.2.1/b"})],
        &[json!({}), json!({"source": "x"}), json!([])],
    )
}

fn proxy(dice: &mut Dice) -> Value {
    let url = |dice: &mut Dice| {
        dice.value(
            &[json!("http://192.0.2.1:3128"), json!("https://p.example")],
            &[json!("socks5://a"), json!(""), json!(1)],
        )
    };
    let hosts = |dice: &mut Dice| {
        dice.list(2, &|dice: &mut Dice| dice.value(&[json!("a"), json!("10.0.0.0/8"), json!("b")], &[json!(1)]))
    };
    dice.object(&[("httpProxy", &url), ("httpsProxy", &url), ("noProxy", &hosts)])
}

#[test]
fn our_verdict_is_that_of_ignition_validate() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("config.ign");
    let mut dice = Dice(1);
    let (mut valid, mut different) = (0, Vec::new());
    for _ in 0..CONFIGS {
        let config = config(&mut dice);
        fs::write(&file, config.to_string())?;
        let theirs = Command::new("ignition-validate").arg(&file).output()?;
        let said = String::from_utf8_lossy(&theirs.stdout) + String::from_utf8_lossy(&theirs.stderr);
        let ours = specification::check(&config, None);
        valid += usize::from(ours.is_ok());
        // The schema names keys that must be there; the program takes nothing, or null, for an empty text.
        let incomplete = describe(&ours).contains("missing field") || describe(&ours).contains("invalid type: null");
        if ours.is_ok() != theirs.status.success() && !incomplete {
            different.push(format!("{config}\nours: {}\ntheirs: {said}", describe(&ours)));
        }
    }
    assert!(
        different.is_empty(),
        "{} of {CONFIGS}, the first:\n{}",
        different.len(),
        different[..different.len().min(5)].join("\n")
    );
    let share = valid * 100 / CONFIGS;
    assert!((20..80).contains(&share), "{share} % of the configs are valid: they do not show much");
    Ok(())
}

fn describe(verdict: &Result<specification::Verdict, SpecificationError>) -> String {
    match verdict {
        Ok(_) => "valid".to_owned(),
        Err(error) => error.to_string(),
    }
}
