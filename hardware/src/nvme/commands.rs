//! The commands that erase, as the specification lays them out, and the pages that say what a controller can do and does.

use std::time::Duration;

use super::admin::Command;

pub(super) const PAGE_BYTES: usize = 4096;
pub(super) const LOG_BYTES: usize = 512;

const IDENTIFY: u8 = 0x06;
const GET_LOG_PAGE: u8 = 0x02;
const FORMAT_NVM: u8 = 0x80;
const SANITIZE: u8 = 0x84;
const HEALTH: u32 = 0x02;
const SANITIZE_STATUS: u32 = 0x81;
const EVERY_NAMESPACE: u32 = 0xffff_ffff;

const QUICK: Duration = Duration::from_secs(60);
/// Formatting a large device without crypto erase takes minutes.
pub(super) const FORMAT_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// What a sanitize may take when the device does not say how long.
const UNSTATED_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// On top of twice what the device says.
const MARGIN: Duration = Duration::from_secs(600);

/// A way in which a device erases itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Format NVM, secure erase setting 2: the key of the data goes.
    FormatCrypto,
    /// Format NVM, secure erase setting 1: all user data is erased.
    FormatUserData,
    /// Sanitize, cryptographic: the keys of the whole subsystem go.
    SanitizeCrypto,
    /// Sanitize, block erase of the whole subsystem.
    SanitizeBlock,
    /// Sanitize, overwriting the whole subsystem.
    SanitizeOverwrite,
}

impl Action {
    /// Every way, in the order in which they are tried: what hits one namespace comes before what hits all.
    pub const ALL: [Self; 5] =
        [Self::FormatCrypto, Self::FormatUserData, Self::SanitizeCrypto, Self::SanitizeBlock, Self::SanitizeOverwrite];
}

/// Identify Controller.
pub(super) fn identify_controller() -> Command {
    Command { opcode: IDENTIFY, nsid: 0, cdw10: 1, timeout: QUICK }
}

/// Identify Namespace.
pub(super) fn identify_namespace(nsid: u32) -> Command {
    Command { opcode: IDENTIFY, nsid, cdw10: 0, timeout: QUICK }
}

/// Format NVM with a secure erase (never without), which keeps block size, metadata and protection as FLBAS and DPS of
/// the page of Identify Namespace say they are.
pub(super) fn format(nsid: u32, namespace: &[u8; PAGE_BYTES], crypto: bool) -> Command {
    let [flbas, dps] = [u32::from(namespace[26]), u32::from(namespace[29])];
    let secure_erase = if crypto { 2 } else { 1 };
    let index = flbas & 0xf;
    let index_high = flbas >> 5 & 0b11;
    let metadata_inline = flbas >> 4 & 1;
    let protection = dps & 0b111;
    let protection_first = dps >> 3 & 1;
    let cdw10 =
        index | metadata_inline << 4 | protection << 5 | protection_first << 8 | secure_erase << 9 | index_high << 12;
    Command { opcode: FORMAT_NVM, nsid, cdw10, timeout: FORMAT_LIMIT }
}

/// Sanitize. A device that fails at it stays locked until one succeeds (restricted completion): its data is never
/// readable again by accident. Overwriting is one pass of the pattern in dword 11, zeros.
pub(super) fn sanitize(action: Action) -> Command {
    const ONE_PASS: u32 = 1 << 4;
    let cdw10 = match action {
        Action::SanitizeBlock => 2,
        Action::SanitizeOverwrite => 3 | ONE_PASS,
        _ => 4,
    };
    Command { opcode: SANITIZE, nsid: 0, cdw10, timeout: QUICK }
}

/// Get Log Page, sanitize status.
pub(super) fn sanitize_log() -> Command {
    log_page(SANITIZE_STATUS)
}

/// Get Log Page, SMART / Health Information.
pub(super) fn health_log() -> Command {
    log_page(HEALTH)
}

fn log_page(page: u32) -> Command {
    let length = (LOG_BYTES as u32 / 4 - 1) << 16;
    Command { opcode: GET_LOG_PAGE, nsid: EVERY_NAMESPACE, cdw10: page | length, timeout: QUICK }
}

/// What the controller can do (Identify Controller).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) format: bool,
    /// A format with secure erase hits every namespace.
    pub(super) all_namespaces: bool,
    pub(super) crypto: bool,
    pub(super) sanitize_crypto: bool,
    pub(super) sanitize_block: bool,
    pub(super) sanitize_overwrite: bool,
}

impl Abilities {
    pub(super) fn parse(page: &[u8; PAGE_BYTES]) -> Self {
        let (oacs, sanicap, fna) = (u16::from_le_bytes([page[256], page[257]]), page[328], page[524]);
        Self {
            format: oacs & 2 != 0,
            all_namespaces: fna & 0b11 != 0,
            crypto: fna & 4 != 0,
            sanitize_crypto: sanicap & 1 != 0,
            sanitize_block: sanicap & 2 != 0,
            sanitize_overwrite: sanicap & 4 != 0,
        }
    }

    /// Whether it has the command.
    pub(super) fn has(&self, action: Action) -> bool {
        match action {
            Action::FormatCrypto => self.format && self.crypto,
            Action::FormatUserData => self.format,
            Action::SanitizeCrypto => self.sanitize_crypto,
            Action::SanitizeBlock => self.sanitize_block,
            Action::SanitizeOverwrite => self.sanitize_overwrite,
        }
    }

    pub(super) fn sanitizes(&self) -> bool {
        self.sanitize_crypto || self.sanitize_block || self.sanitize_overwrite
    }
}

/// What became of the last sanitize (SSTAT, bits 2:0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Never,
    Done,
    Running,
    Failed,
    Unknown(u8),
}

/// The sanitize status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) state: State,
    /// Parts of 65536.
    pub(super) progress: u16,
    /// What the last sanitize was told to do; nothing when the page does not say.
    pub(super) action: Option<Action>,
    overwrite_seconds: u32,
    block_seconds: u32,
    crypto_seconds: u32,
}

impl Status {
    pub(super) fn parse(page: &[u8; LOG_BYTES]) -> Self {
        let dword = |at: usize| u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]);
        Self {
            state: match page[2] & 0b111 {
                0 => State::Never,
                1 | 4 => State::Done,
                2 => State::Running,
                3 => State::Failed,
                other => State::Unknown(other),
            },
            progress: u16::from_le_bytes([page[0], page[1]]),
            action: match dword(4) & 0b111 {
                2 => Some(Action::SanitizeBlock),
                3 => Some(Action::SanitizeOverwrite),
                4 => Some(Action::SanitizeCrypto),
                _ => None,
            },
            overwrite_seconds: dword(8),
            block_seconds: dword(12),
            crypto_seconds: dword(16),
        }
    }

    /// How long it may take: twice what the device says, or a day.
    pub(super) fn limit(&self, action: Action) -> Duration {
        let seconds = match action {
            Action::SanitizeOverwrite => self.overwrite_seconds,
            Action::SanitizeBlock => self.block_seconds,
            _ => self.crypto_seconds,
        };
        match seconds {
            0 | u32::MAX => UNSTATED_LIMIT,
            seconds => Duration::from_secs(u64::from(seconds)) * 2 + MARGIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abilities_come_from_their_bytes() {
        let mut page = [0; PAGE_BYTES];
        (page[256], page[328], page[524]) = (0b10, 0b110, 0b110);
        let abilities = Abilities::parse(&page);
        let has: Vec<Action> = Action::ALL.into_iter().filter(|action| abilities.has(*action)).collect();
        assert!(abilities.all_namespaces && abilities.sanitizes());
        assert_eq!(
            has,
            [Action::FormatCrypto, Action::FormatUserData, Action::SanitizeBlock, Action::SanitizeOverwrite]
        );
    }

    #[test]
    fn a_format_keeps_block_size_and_protection_and_always_erases() {
        let mut namespace = [0; PAGE_BYTES];
        assert_eq!(format(7, &namespace, false).cdw10, 1 << 9);
        // Format 3 of the upper bank 1, inline metadata; protection type 2 in the first bytes.
        (namespace[26], namespace[29]) = (0b011_0011, 0b1010);
        let command = format(7, &namespace, true);
        assert_eq!((command.opcode, command.nsid), (0x80, 7));
        assert_eq!(command.cdw10, 3 | 1 << 4 | 2 << 5 | 1 << 8 | 2 << 9 | 1 << 12);
    }

    #[test]
    fn sanitize_and_its_log_are_those_of_the_specification() {
        // Figure "Sanitize - Command Dword 10": SANACT 010b block, 011b overwrite with OWPASS 1, 100b crypto.
        let words = [Action::SanitizeCrypto, Action::SanitizeBlock, Action::SanitizeOverwrite].map(sanitize);
        assert_eq!(
            words.map(|command| (command.opcode, command.nsid, command.cdw10)),
            [(0x84, 0, 4), (0x84, 0, 2), (0x84, 0, 0x13)]
        );
        // 128 dwords of log 81h for the whole subsystem.
        let log = sanitize_log();
        assert_eq!((log.opcode, log.nsid, log.cdw10), (0x02, 0xffff_ffff, 0x007f_0081));
        assert_eq!(health_log().cdw10, 0x007f_0002);
    }

    /// The log of one family of drives as two users have published it: one whose block erase was done (SSTAT 101h: and nothing
    /// written since), https://github.com/linux-nvme/nvme-cli/issues/752, and one that had been at 1 % for a week,
    /// https://github.com/linux-nvme/nvme-cli/issues/3027. It states no times.
    #[test]
    fn logs_of_real_drives_are_understood() {
        for (progress, status, state) in [(65535_u16, 0x101_u16, State::Done), (655, 0x002, State::Running)] {
            let mut page = [0; LOG_BYTES];
            page[..2].copy_from_slice(&progress.to_le_bytes());
            page[2..4].copy_from_slice(&status.to_le_bytes());
            page[4] = 2;
            page[8..20].fill(0xff);
            let parsed = Status::parse(&page);
            assert_eq!((parsed.state, parsed.progress), (state, progress));
            assert_eq!(parsed.action, Some(Action::SanitizeBlock));
            // So the second one is given up after a day.
            assert_eq!(parsed.limit(Action::SanitizeBlock), UNSTATED_LIMIT);
        }
    }

    #[test]
    fn the_log_says_state_progress_and_times() {
        let mut page = [0; LOG_BYTES];
        (page[1], page[2], page[4]) = (0x80, 2, 3);
        page[8..12].copy_from_slice(&100_u32.to_le_bytes());
        page[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        let status = Status::parse(&page);
        assert_eq!((status.state, status.progress), (State::Running, 0x8000));
        assert_eq!(status.action, Some(Action::SanitizeOverwrite));
        assert_eq!(status.limit(Action::SanitizeOverwrite), Duration::from_secs(800));
        assert_eq!(status.limit(Action::SanitizeBlock), UNSTATED_LIMIT);
        for (byte, state) in
            [(0, State::Never), (1, State::Done), (3, State::Failed), (4, State::Done), (5, State::Unknown(5))]
        {
            page[2] = byte;
            assert_eq!(Status::parse(&page).state, state);
        }
    }
}
