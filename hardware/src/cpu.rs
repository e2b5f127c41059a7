//! The processors.

mod arm;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::printable::printable;
use crate::smbios::Smbios;

/// The processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Model of the first one; empty when unknown.
    pub model_name: String,
    /// Highest frequency in MHz with four decimals, as text; empty when unknown.
    pub frequency: String,
    /// Logical processors.
    pub count: usize,
    /// As `uname -m`.
    pub architecture: String,
    /// Features of the first one.
    pub flags: Vec<String>,
    /// Sockets.
    pub socket_count: usize,
}

const CPUS: &str = "/sys/devices/system/cpu";

/// Reads `/proc/cpuinfo`, whose words differ by architecture, and sysfs.
pub fn read(machine: &Machine, smbios: &Smbios) -> Cpu {
    let info = CpuInfo(machine.read("/proc/cpuinfo").unwrap_or_default());
    let present = machine.read(format!("{CPUS}/present")).map(|list| numbers(&list)).unwrap_or_default();
    let sockets: BTreeSet<String> = present
        .iter()
        .filter_map(|cpu| machine.read(format!("{CPUS}/cpu{cpu}/topology/physical_package_id")))
        .collect();
    let highest_khz: Option<u64> =
        present.iter().filter_map(|cpu| machine.number(format!("{CPUS}/cpu{cpu}/cpufreq/cpuinfo_max_freq"))).max();
    Cpu {
        model_name: info.model().or_else(|| by_firmware(smbios)).unwrap_or_default(),
        frequency: highest_khz.map(|khz| format!("{}.{:03}0", khz / 1000, khz % 1000)).unwrap_or_default(),
        count: if present.is_empty() { info.count() } else { present.len() },
        architecture: architecture(machine),
        flags: info.flags(),
        socket_count: sockets.len().max(1),
    }
}

/// As `uname -m`: kernels before 6.1 have no file for it.
fn architecture(machine: &Machine) -> String {
    let by_kernel = || {
        let uname = nix::sys::utsname::uname().ok().filter(|_| machine.is_host())?;
        Some(uname.machine().to_str()?.to_string())
    };
    let known = machine.read("/proc/sys/kernel/arch").or_else(by_kernel);
    known.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

/// The text of the first populated socket: SMBIOS describes empty ones, too, with whatever text.
fn by_firmware(smbios: &Smbios) -> Option<String> {
    /// Bit of the status (type 4, offset 18h) that is set when there is a processor in the socket.
    const POPULATED: u8 = 0x40;
    let mut populated = smbios.of_kind(4).filter(|s| s.byte(0x18).is_some_and(|status| status & POPULATED != 0));
    let text = populated.find_map(|s| s.string(0x10)).map(|text| printable(&text));
    text.filter(|text| !text.is_empty())
}

/// The text of `/proc/cpuinfo`.
struct CpuInfo(String);

impl CpuInfo {
    /// All values of a key, in their order.
    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.lines().filter_map(|line| line.split_once(':'));
        let values = fields.filter(move |(known, _)| known.trim() == key).map(|(_, value)| value.trim());
        values.filter(|value| !value.is_empty())
    }

    fn first(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.values(key).next()).map(str::to_string)
    }

    /// The model, as `lscpu` names it.
    fn model(&self) -> Option<String> {
        // x86 and old 32-bit ARM, LoongArch, RISC-V, MIPS; POWER last: elsewhere `cpu` has other meanings.
        let plain = || self.first(&["model name", "Model Name", "uarch", "cpu model", "cpu"]);
        self.arm_part().map(str::to_string).or_else(plain).or_else(|| self.s390_machine())
    }

    /// Name of the processor's part number on ARM. Of several kinds of cores `lscpu` prints the one with the highest
    /// number last, and that is the one IPA sees.
    fn arm_part(&self) -> Option<&'static str> {
        let hex = |text: &str| u16::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        let implementer = u8::try_from(hex(self.values("CPU implementer").next()?)?).ok()?;
        arm::name(implementer, self.values("CPU part").filter_map(hex).max()?)
    }

    /// `IBM/S390 8561`: maker and machine type.
    fn s390_machine(&self) -> Option<String> {
        let vendor = self.values("vendor_id").next().filter(|vendor| vendor.contains("S390"))?;
        let kind = self.0.lines().find_map(|line| line.split_once("machine = ")).map(|(_, kind)| kind.trim());
        Some(kind.map_or(vendor.to_string(), |kind| format!("{vendor} {kind}")))
    }

    /// Features. RISC-V has its instruction set and extensions in one word: `rv64imafdc_zicntr_zba`.
    fn flags(&self) -> Vec<String> {
        let by_word = self.first(&["flags", "Features", "features"]).unwrap_or_default();
        let flags: Vec<String> = by_word.split_whitespace().map(str::to_string).collect();
        if !flags.is_empty() {
            return flags;
        }
        let isa = self.first(&["isa"]).filter(|isa| isa.starts_with("rv")).unwrap_or_default();
        isa.split('_').filter(|extension| !extension.is_empty()).map(str::to_string).collect()
    }

    /// Processors: `processor : 0`, on s390x `processor 0: version = FF…`.
    fn count(&self) -> usize {
        self.0.lines().filter(|line| line.starts_with("processor")).count()
    }
}

/// The numbers of a kernel list, `0-3,8`.
pub(crate) fn numbers(list: &str) -> Vec<usize> {
    let ranges = list.trim().split(',').filter_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse::<usize>().ok()?..=to.trim().parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of which only `/proc/cpuinfo` is known.
    fn cpu(info: &str) -> Cpu {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proc")).unwrap();
        std::fs::write(root.path().join("proc/cpuinfo"), info).unwrap();
        read(&Machine::at(root.path()), &Smbios::default())
    }

    /// Words of real machines: the dumps that util-linux tests `lscpu` with (tests/ts/lscpu/dumps), shortened.
    #[test]
    fn every_architecture_has_words_of_its_own() {
        let arm = cpu("processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\n\
                       CPU part\t: 0xd0c\n");
        assert_eq!((arm.model_name.as_str(), arm.flags.len(), arm.count), ("Neoverse-N1", 2, 1));
        // arm-A510-A710-A715-X3: cores of four kinds.
        let kinds: Vec<String> = ["0xd46", "0xd4d", "0xd47", "0xd4e"]
            .map(|part| format!("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n"))
            .to_vec();
        assert_eq!(cpu(&kinds.concat()).model_name, "Cortex-X3");
        // armv7: the common part comes last, the name of the core counts.
        let armv7 = cpu("Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0\n\nprocessor\t: 1\n\n\
                         Features\t: swp half\nCPU implementer\t: 0x41\nCPU part\t: 0xc0f\n");
        assert_eq!((armv7.model_name.as_str(), armv7.count), ("Cortex-A15", 2));
        let unknown = cpu("processor\t: 0\nmodel name\t: Some core\nCPU implementer\t: 0x99\nCPU part\t: 0x001\n");
        assert_eq!(unknown.model_name, "Some core");

        let power =
            cpu("processor\t: 0\ncpu\t\t: POWER7 (architected), altivec supported\nclock\t\t: 3000.000000MHz\n");
        assert_eq!((power.model_name.as_str(), power.flags.len()), ("POWER7 (architected), altivec supported", 0));

        let s390 = cpu("vendor_id       : IBM/S390\n# processors    : 2\nbogomips per cpu: 14367.00\n\
                        features\t: esan3 zarch stfle \n\
                        processor 0: version = FF,  identification = 29AA14,  machine = 2817\n\
                        processor 1: version = FF,  identification = 29AA14,  machine = 2817\n");
        assert_eq!((s390.model_name.as_str(), s390.count), ("IBM/S390 2817", 2));
        assert_eq!(s390.flags, ["esan3", "zarch", "stfle"]);

        let riscv = cpu("processor\t: 0\nhart\t\t: 3\nisa\t\t: rv64imafdc_zicntr_zba\nuarch\t\t: sifive,u74-mc\n");
        assert_eq!(riscv.model_name, "sifive,u74-mc");
        assert_eq!(riscv.flags, ["rv64imafdc", "zicntr", "zba"]);

        let loong = cpu("processor\t\t: 0\nCPU Family\t\t: Loongson-64bit\nModel Name\t\t: Loongson-3A5000-HV\n");
        assert_eq!(loong.model_name, "Loongson-3A5000-HV");
    }

    #[test]
    fn the_firmware_s_text_counts_where_a_processor_is() {
        let socket = |handle: u8, status: u8, text: &str| {
            let mut bytes = vec![4, 0x1a, handle, 0];
            bytes.resize(0x1a, 0);
            (bytes[0x10], bytes[0x18]) = (1, status);
            [&bytes[..], text.as_bytes(), b"\0\0"].concat()
        };
        let table = [socket(1, 0x00, "To Be Filled"), socket(2, 0x41, " Ampere(R) Altra(R)\u{7} ")].concat();
        assert_eq!(by_firmware(&Smbios::parse(&table)).as_deref(), Some("Ampere(R) Altra(R)"));
        assert_eq!(by_firmware(&Smbios::parse(&socket(1, 0x00, "nobody"))), None);
    }

    #[test]
    fn kernel_lists_are_understood() {
        assert_eq!(numbers("0-2,8"), [0, 1, 2, 8]);
        assert_eq!(numbers("5"), [5]);
        assert!(numbers("").is_empty());
    }
}
