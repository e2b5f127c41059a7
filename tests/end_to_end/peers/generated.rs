//! Generated inputs, judged by the programs of the Python agent: root device hints by its own matcher, SMBIOS tables by
//! dmidecode and its reader of that. The seeds are fixed; each judge is started once for its batch.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use ferric_hardware::block::BlockDevice;
use ferric_hardware::block::hints::Hints;
use ferric_hardware::collect::{CollectOptions, Collector};
use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use ferric_tests::peers;
use serde_json::{Map, Value, json};

const PAIRS: usize = 10_000;
const TABLES: usize = 300;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Runs a judge of `tests/peers` and reads its answer.
fn judged(script: &str, arguments: &[&Path], input: &Value) -> Vec<Value> {
    let python = peers::folder().unwrap().join("venv/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    let mut judge =
        Command::new(python).arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    judge.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = judge.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

const TEXTS: [&str; 10] = [
    "model",
    "wwn",
    "serial",
    "vendor",
    "wwn_with_extension",
    "wwn_vendor_extension",
    "name",
    "hctl",
    "by_path",
    "tran",
];

/// Values as disks have them, and some that make parsers stumble.
const VALUES: [&str; 31] = [
    "/dev/sda",
    "/dev/nvme0n1",
    "PERC H730 Mini",
    "perc  h730",
    "INTEL SSDPE2KX010T8",
    "0x5002538f31a0b1c2",
    "eui.01000000010000005cd2e4abcdef0001",
    "S5Y1NJ0R100001",
    "0:2:1:0",
    "/dev/disk/by-path/pci-0000:5e:00.0-nvme-1",
    "sata",
    "nvme",
    "none",
    "12",
    "1e3",
    "0x10",
    "1_000",
    "inf",
    "-5",
    "4.5",
    "a=b",
    "s== x",
    "<in> dell",
    "100%",
    "Größe",
    "ﬁ İ",
    "a<b>c",
    "~tilde_-.",
    "[ 10 20 ]",
    "x\u{a0}y",
    "١٢",
];

/// Operators; those that apply to texts are the more common ones.
const OPERATORS: [&str; 17] = [
    "==",
    "=",
    "!=",
    ">=",
    "<=",
    ">",
    "<",
    "<all-in>",
    "<range-in>",
    "<in>",
    "s==",
    "s!=",
    "s<=",
    "s<",
    "s>=",
    "s>",
    "<or>",
];
const OF_TEXTS: usize = 9;

fn operator(random: &mut Random, of_texts: bool) -> &'static str {
    let from = if of_texts && !random.one_in(6) { &OPERATORS[OF_TEXTS..] } else { &OPERATORS[..] };
    from[random.below(from.len())]
}

fn text(random: &mut Random) -> String {
    let mut value = random.pick(&VALUES).to_string();
    match random.below(8) {
        0 => value = value.to_uppercase(),
        1 => value = value.to_lowercase(),
        2 => value = value.chars().take(random.below(6)).collect(),
        3 => value = format!("  {value}\t"),
        4 => value.push_str(random.pick(&VALUES)),
        _ => {}
    }
    value
}

/// `[operator] value [operator value]…`, now and then broken.
fn expression(random: &mut Random, value: &str, of_texts: bool) -> String {
    let blank = |random: &mut Random| if random.one_in(4) { "" } else { " " };
    if random.one_in(3) {
        return value.to_string();
    }
    let operator = operator(random, of_texts);
    let mut expression = format!("{operator}{}{value}", blank(random));
    for _ in 0..random.below(3) {
        let again = if random.one_in(4) { self::operator(random, of_texts) } else { operator };
        expression += &format!("{}{again}{}{}", blank(random), blank(random), text(random));
    }
    if random.one_in(40) {
        expression = operator.to_string();
    }
    expression
}

fn device_text(random: &mut Random) -> Value {
    match random.below(10) {
        0 => Value::Null,
        1 => json!(""),
        _ => json!(text(random)),
    }
}

fn pair(random: &mut Random) -> (Value, Value) {
    const SIZES: [u64; 7] = [0, 512, 4 << 30, 60 << 30, 64_023_257_088, 1_000_204_886_016, (1 << 30) + 1];
    let mut device = Map::new();
    for key in TEXTS {
        device.insert(key.into(), device_text(random));
    }
    for key in ["serial", "wwn"] {
        if random.one_in(2) {
            let count = random.below(4);
            device.insert(key.into(), (0..count).map(|_| device_text(random)).collect());
        }
    }
    device.insert("name".into(), json!(format!("/dev/{}", random.pick(&["sda", "sdb", "nvme0n1", "md0", "dm-0"]))));
    device.insert("size".into(), json!(SIZES[random.below(SIZES.len())]));
    device.insert("rotational".into(), [json!(true), json!(false), Value::Null][random.below(3)].clone());

    let mut hints = Map::new();
    for _ in 0..1 + random.below(3) {
        let (key, value) = hint(random, &device);
        hints.insert(key, value);
    }
    (Value::Object(hints), Value::Object(device))
}

fn hint(random: &mut Random, device: &Map<String, Value>) -> (String, Value) {
    const FLAGS: [&str; 14] = ["true", "T", "yes", "On", "1", "false", "F", "no", "off", "0", "maybe", "", " y ", "2"];
    const SIZES: [&str; 12] = ["60", "59.6", "931", "0", "-1", "4", "+60", "6_0", " 60 ", "0x3c", "931.5", "1e2"];
    match random.below(14) {
        0 => {
            let value = match random.below(5) {
                0 => json!(random.one_in(2)),
                1 => json!(random.below(3)),
                2 => Value::Null,
                _ => json!(random.pick(&FLAGS)),
            };
            ("rotational".into(), value)
        }
        1..4 => {
            let value = match random.below(8) {
                0 => json!(random.below(100)),
                1 => json!(true),
                2 => Value::Null,
                3 => json!(random.pick(&SIZES)),
                _ => {
                    let size = random.pick(&SIZES);
                    json!(expression(random, size, false))
                }
            };
            ("size".into(), value)
        }
        4 if random.one_in(10) => ("colour".into(), json!("red")),
        _ => {
            let key = random.pick(&TEXTS);
            // Every second hint is about a value the device has.
            let known = match &device[key] {
                Value::String(text) => Some(text.clone()),
                Value::Array(list) => list.iter().find_map(|value| value.as_str().map(str::to_string)),
                _ => None,
            };
            let value = match known {
                Some(known) if random.one_in(2) => known,
                _ => text(random),
            };
            let value = match random.below(30) {
                0 => json!(random.below(9)),
                1 => Value::Null,
                2 => json!(""),
                _ => json!(expression(random, &value, true)),
            };
            (key.to_string(), value)
        }
    }
}

/// Disagreements that are meant:
/// - `<all-in>` and `<range-in>` apply to no text; the Python agent evaluates the text as a Python literal first, and
///   takes one kind of failure of that for "another alternative may fit";
/// - digits of other scripts are numbers in Python.
fn is_known(hints: &Value, theirs: &Value, ours: &Value) -> bool {
    let hints = hints.to_string();
    let is_evaluated = hints.contains("<all-in>") || hints.contains("<range-in>");
    let is_exception_here = theirs[0] == ours[0] && theirs[1] == false && ours[1].is_null();
    (is_evaluated && is_exception_here) || hints.chars().any(|c| c.is_numeric() && !c.is_ascii())
}

#[test]
fn root_device_hints_are_understood_as_the_python_agent_does() {
    let mut random = Random(2026);
    let pairs: Vec<(Value, Value)> = (0..PAIRS).map(|_| pair(&mut random)).collect();
    let judgements = judged("judge_hints.py", &[], &json!(pairs));
    let mut disagreements = Vec::new();
    let (mut fitting, mut refused) = (0, 0);
    for ((hints, device), theirs) in pairs.iter().zip(&judgements) {
        let parsed = Hints::parse(hints).ok();
        let described: BlockDevice = serde_json::from_value(device.clone()).unwrap();
        let fits = parsed.as_ref().and_then(|hints| hints.fit(&described).ok());
        let ours = json!([parsed.map(|hints| hints.normalized()), fits]);
        fitting += usize::from(fits == Some(true));
        refused += usize::from(fits.is_none());
        if ours != *theirs && !is_known(hints, theirs, &ours) {
            disagreements.push(format!("{hints} on {device}\n  theirs {theirs}\n  ours   {ours}"));
        }
    }
    assert_eq!(disagreements.len(), 0, "{}", disagreements[..disagreements.len().min(10)].join("\n"));
    // The batch is worth something: all three outcomes are common.
    assert!(fitting > PAIRS / 10 && refused > PAIRS / 10 && fitting + refused < PAIRS * 9 / 10, "{fitting} {refused}");
}

/// A structure with a random formatted area of one of the lengths that versions of the specification have, and strings.
fn structure(random: &mut Random, kind: u8, handle: u16) -> Vec<u8> {
    let lengths: &[u8] = match kind {
        0 => &[0x12, 0x13, 0x14, 0x18, 0x1a],
        4 => &[0x1a, 0x20, 0x23, 0x28, 0x2a, 0x30, 0x32],
        16 => &[0x0f, 0x17],
        _ => &[0x15, 0x17, 0x1b, 0x1c, 0x22, 0x28, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c],
    };
    let length = lengths[random.below(lengths.len())];
    let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    // Codes and sizes that mean something are more interesting than any.
    for byte in bytes.iter_mut().skip(4) {
        match random.below(6) {
            0 => *byte = 0,
            1 => *byte = 0xff,
            2 => *byte %= 0x25,
            _ => {}
        }
    }
    let strings = random.below(5);
    let (numbers, codes): (&[usize], &[(usize, u8)]) = match kind {
        0 => (&[4, 5, 8], &[]),
        4 => (&[4, 7, 0x10, 0x20, 0x21, 0x22], &[(5, 7), (0x19, 0x3f)]),
        16 => (&[], &[(4, 11), (5, 8), (6, 8)]),
        _ => (&[0x10, 0x11, 0x17, 0x18, 0x19, 0x1a, 0x2b], &[(0x0e, 0x11), (0x12, 0x24), (0x28, 8)]),
    };
    for at in numbers {
        if let Some(byte) = bytes.get_mut(*at) {
            *byte = random.below(strings + 2) as u8;
        }
    }
    for (at, limit) in codes {
        if let Some(byte) = bytes.get_mut(*at) {
            *byte %= limit;
        }
    }
    bytes[..4].copy_from_slice(&[kind, length, handle as u8, (handle >> 8) as u8]);
    for _ in 0..strings {
        let text = random.pick(&[
            "DIMM_A1",
            "Intel(R) Corporation",
            "AMD",
            "  padded ",
            "a\u{7}b",
            "Größe",
            "key: value",
            "-",
        ]);
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
    bytes.extend(if strings == 0 { &[0, 0][..] } else { &[0] });
    bytes
}

#[test]
fn smbios_tables_are_told_as_dmidecode_tells_them() {
    let mut random = Random(3202);
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let mut ours = Vec::new();
    for number in 0..TABLES {
        let kinds = [&[0, 4, 4, 16, 17, 17, 17][..], &[0, 17, 4], &[0, 16, 16]][random.below(3)];
        let mut table = Vec::new();
        for (handle, kind) in (1..).zip(kinds) {
            table.extend(structure(&mut random, *kind, handle));
        }
        table.extend([127, 4, 0, 0xff, 0, 0]);
        let mut entry_point = b"_SM3_\0\x18\x03\x05\0\x01\0".to_vec();
        entry_point.extend((table.len() as u32).to_le_bytes());
        entry_point.extend(32_u64.to_le_bytes());
        entry_point[5] = entry_point.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));

        let tables = folder.path().join(format!("{number}/sys/firmware/dmi/tables"));
        std::fs::create_dir_all(&tables).unwrap();
        std::fs::write(tables.join("DMI"), &table).unwrap();
        std::fs::write(tables.join("smbios_entry_point"), &entry_point).unwrap();
        let file = folder.path().join(format!("{number}.bin"));
        entry_point.resize(32, 0);
        std::fs::write(&file, [entry_point, table].concat()).unwrap();
        files.push(file);

        let machine = Machine::at(folder.path().join(number.to_string()));
        let tools = Tools::in_directories([], None);
        let options = CollectOptions { lldp: None, benchmarks: None, tools };
        ours.push(Collector::DmiDecode.collect(&machine, &options).unwrap().unwrap());
    }
    let files: Vec<&Path> = files.iter().map(|file| file.as_path()).collect();
    let theirs = judged("judge_dmi.py", &files, &Value::Null);
    let mut disagreements = Vec::new();
    // What the installed dmidecode is too old for: names of codes and families, and the enabled threads of SMBIOS 3.6.
    let is_newer = |text: &String| {
        text.contains("theirs \"<OUT OF SPEC>\"")
            || ["Thread Enabled", "Signature", "Flags"].iter().any(|key| text.contains(&format!("/{key}: theirs null")))
    };
    for (number, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        differences(&format!("table {number}"), theirs, ours, &mut disagreements);
    }
    disagreements.retain(|disagreement| !is_newer(disagreement));
    assert_eq!(disagreements.len(), 0, "{}", disagreements[..disagreements.len().min(20)].join("\n"));
}

/// Every value of two documents that differs.
fn differences(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let missing = Value::Null;
                let (a, b) = (a.get(key).unwrap_or(&missing), b.get(key).unwrap_or(&missing));
                differences(&format!("{path}/{key}"), a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{at}"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: theirs {a}, ours {b}")),
    }
}
