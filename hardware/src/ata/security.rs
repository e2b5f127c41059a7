//! The states of ATA security and the way through them to an erased drive.

use std::time::Duration;

use crate::open_device::DeviceError;
use crate::watch::Watch;

pub(super) const IDENTIFY_DEVICE: u8 = 0xec;
const SET_PASSWORD: u8 = 0xf1;
const UNLOCK: u8 = 0xf2;
const ERASE_PREPARE: u8 = 0xf3;
const ERASE_UNIT: u8 = 0xf4;
const DISABLE_PASSWORD: u8 = 0xf6;

pub(super) const QUICK: Duration = Duration::from_secs(60);
/// What an erase may take when the drive does not say how long.
const UNSTATED_LIMIT: Duration = Duration::from_secs(12 * 3600);
/// Passwords left by a run that died: ours is empty; old versions of hdparm sent these four letters for it.
const KNOWN_PASSWORDS: [&[u8]; 2] = [b"", b"NULL"];

/// A way in which a disk erases itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SECURITY ERASE UNIT in enhanced mode: reallocated sectors too, with the drive's own pattern or by its key.
    Enhanced,
    /// SECURITY ERASE UNIT in normal mode: all user data becomes zeros.
    Normal,
}

impl Action {
    /// Both ways, in the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Enhanced, Self::Normal];
}

/// What IDENTIFY DEVICE says about security.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Security {
    pub(super) supported: bool,
    pub(super) enabled: bool,
    pub(super) locked: bool,
    pub(super) frozen: bool,
    /// Wrong passwords were tried too often: none is taken before the next power cycle.
    pub(super) attempts_used_up: bool,
    pub(super) enhanced: bool,
    /// Minutes, 0 when unstated.
    pub(super) normal_minutes: u32,
    pub(super) enhanced_minutes: u32,
}

impl Security {
    pub(super) fn parse(page: &[u8; 512]) -> Self {
        let word = |index: usize| u16::from_le_bytes([page[2 * index], page[2 * index + 1]]);
        let status = word(128);
        let bit = |n: u16| status >> n & 1 != 0;
        let minutes = |word: u16| match word >> 15 {
            0 => u32::from(word & 0xff) * 2,
            _ => u32::from(word & 0x7fff) * 2,
        };
        Self {
            supported: word(82) & 2 != 0 && bit(0),
            enabled: bit(1),
            locked: bit(2),
            frozen: bit(3),
            attempts_used_up: bit(4),
            enhanced: bit(5),
            normal_minutes: minutes(word(89)),
            enhanced_minutes: minutes(word(90)),
        }
    }

    fn limit(&self, action: Action) -> Duration {
        let minutes = match action {
            Action::Enhanced => self.enhanced_minutes,
            Action::Normal => self.normal_minutes,
        };
        match minutes {
            0 => UNSTATED_LIMIT,
            minutes => Duration::from_secs(60 * u64::from(minutes) * 2 + 600),
        }
    }
}

/// Whether the page is as the drive made it: its integrity word, where it has one, fits.
pub(super) fn is_intact(page: &[u8; 512]) -> bool {
    const SIGNATURE: u8 = 0xa5;
    page[510] != SIGNATURE || page.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// A drive that takes ATA commands.
pub(super) trait Drive {
    fn name(&self) -> &str;
    fn identify(&self) -> Result<Security, DeviceError>;
    fn command(&self, command: u8, data: Option<&[u8; 512]>, limit: Duration) -> Result<(), DeviceError>;
}

/// Leads the drive through its states: unlock what a dead run of ours locked, set the empty password, erase, verify.
pub(super) fn erase(drive: &dyn Drive, action: Action, watch: &dyn Watch) -> Result<(), DeviceError> {
    let refused = |reason: &str| DeviceError::Refused { device: drive.name().to_string(), reason: reason.to_string() };
    let unsupported =
        |reason: &str| DeviceError::Unsupported { device: drive.name().to_string(), reason: reason.to_string() };
    let mut state = drive.identify()?;
    if !state.supported {
        return Err(unsupported("it has no ATA Security feature set"));
    }
    if action == Action::Enhanced && !state.enhanced {
        return Err(unsupported("it has no enhanced erase"));
    }
    if state.frozen {
        return Err(refused("it is frozen and cannot be erased: only a power cycle thaws it"));
    }
    if state.locked && state.attempts_used_up {
        return Err(refused("it is locked, and takes no more passwords before the next power cycle"));
    }
    let mut key = KNOWN_PASSWORDS[0];
    for password in KNOWN_PASSWORDS {
        if state.locked {
            drive.command(UNLOCK, Some(&password_block(password, false)), QUICK).ok();
            state = drive.identify()?;
            key = password;
        }
    }
    if state.locked {
        return Err(refused("it is locked: it already has a security password set"));
    }
    let had_password = state.enabled;
    if !had_password {
        drive.command(SET_PASSWORD, Some(&password_block(key, false)), QUICK)?;
    }
    let limit = state.limit(action);
    watch.expect_silence(limit);
    let erased = drive
        .command(ERASE_PREPARE, None, QUICK)
        .and_then(|()| drive.command(ERASE_UNIT, Some(&password_block(key, action == Action::Enhanced)), limit));
    if let Err(error) = erased {
        // Leave a drive that can be used, if only to be overwritten.
        drive.command(UNLOCK, Some(&password_block(key, false)), QUICK).ok();
        drive.command(DISABLE_PASSWORD, Some(&password_block(key, false)), QUICK).ok();
        return Err(match drive.identify() {
            Ok(Security { enabled: false, .. }) => error,
            _ if had_password => refused(&format!("{}; it has a security password of somebody else", reason(&error))),
            _ => refused(&format!("{}; its security password, which is empty, could not be removed", reason(&error))),
        });
    }
    if drive.identify()?.enabled {
        return Err(refused("the erase ended, but security is still enabled: nothing says that it worked"));
    }
    Ok(())
}

/// The error without the name of the device.
fn reason(error: &DeviceError) -> String {
    match error {
        DeviceError::Refused { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// The 512 bytes of a password command: user password; bit 1 of word 0 asks for the enhanced erase.
fn password_block(password: &[u8], enhanced: bool) -> [u8; 512] {
    let mut block = [0; 512];
    block[0] = u8::from(enhanced) << 1;
    block[2..2 + password.len()].copy_from_slice(password);
    block
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::watch::Unwatched;

    /// A drive that behaves as ACS-3 figure 11 says.
    #[derive(Default)]
    struct Simulated {
        state: Cell<Security>,
        password: RefCell<Vec<u8>>,
        prepared: Cell<bool>,
        data: Cell<bool>,
        erase_fails: bool,
        enhanced_used: Cell<bool>,
    }

    impl Simulated {
        fn with(state: Security) -> Self {
            Self {
                state: Cell::new(state),
                data: Cell::new(true),
                password: RefCell::new(vec![0; 32]),
                ..Self::default()
            }
        }

        fn set(&self, change: impl Fn(&mut Security)) {
            let mut state = self.state.get();
            change(&mut state);
            self.state.set(state);
        }
    }

    impl Drive for Simulated {
        fn name(&self) -> &str {
            "/dev/sdx"
        }

        fn identify(&self) -> Result<Security, DeviceError> {
            Ok(self.state.get())
        }

        fn command(&self, command: u8, data: Option<&[u8; 512]>, _limit: Duration) -> Result<(), DeviceError> {
            let aborted = || DeviceError::Refused { device: "/dev/sdx".into(), reason: "aborted".into() };
            let state = self.state.get();
            let right = data.is_some_and(|block| block[2..34] == self.password.borrow()[..]);
            let prepared = self.prepared.replace(false);
            match command {
                SET_PASSWORD if !state.locked && !state.frozen => {
                    *self.password.borrow_mut() = data.unwrap()[2..34].to_vec();
                    self.set(|state| state.enabled = true);
                }
                UNLOCK if right => self.set(|state| state.locked = false),
                ERASE_PREPARE => self.prepared.set(true),
                ERASE_UNIT if prepared && right && !self.erase_fails => {
                    self.enhanced_used.set(data.unwrap()[0] & 2 != 0);
                    self.data.set(false);
                    self.set(|state| (state.enabled, state.locked) = (false, false));
                }
                ERASE_UNIT => {
                    self.set(|state| state.locked = true);
                    return Err(aborted());
                }
                DISABLE_PASSWORD if right && !state.locked => self.set(|state| state.enabled = false),
                _ => return Err(aborted()),
            }
            Ok(())
        }
    }

    const CAPABLE: Security = Security {
        supported: true,
        enabled: false,
        locked: false,
        frozen: false,
        attempts_used_up: false,
        enhanced: false,
        normal_minutes: 0,
        enhanced_minutes: 0,
    };

    #[test]
    fn an_unlocked_drive_is_erased_by_the_best_way_it_has() {
        for enhanced in [false, true] {
            let drive = Simulated::with(Security { enhanced, ..CAPABLE });
            let action = if enhanced { Action::Enhanced } else { Action::Normal };
            erase(&drive, action, &Unwatched).unwrap();
            assert!(!drive.data.get());
            assert_eq!(drive.enhanced_used.get(), enhanced);
        }
    }

    #[test]
    fn drives_without_security_are_for_another_way() {
        let drive = Simulated::with(Security::default());
        assert!(matches!(erase(&drive, Action::Normal, &Unwatched), Err(DeviceError::Unsupported { .. })));
    }

    #[test]
    fn a_frozen_drive_is_named_so() {
        let error = erase(&Simulated::with(Security { frozen: true, ..CAPABLE }), Action::Normal, &Unwatched)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("/dev/sdx: it is frozen"), "{error}");
    }

    #[test]
    fn a_drive_locked_by_a_dead_run_is_unlocked_and_erased() {
        for password in KNOWN_PASSWORDS {
            let drive = Simulated::with(Security { enabled: true, locked: true, ..CAPABLE });
            drive.password.borrow_mut()[..password.len()].copy_from_slice(password);
            erase(&drive, Action::Normal, &Unwatched).unwrap();
            assert!(!drive.data.get());
        }
    }

    #[test]
    fn a_foreign_password_keeps_the_drive_as_it_is() {
        let drive = Simulated::with(Security { enabled: true, locked: true, ..CAPABLE });
        drive.password.borrow_mut()[..6].copy_from_slice(b"secret");
        let error = erase(&drive, Action::Normal, &Unwatched).unwrap_err().to_string();
        assert!(error.contains("security password"), "{error}");
        assert!(drive.data.get());
    }

    #[test]
    fn a_failed_erase_leaves_the_drive_without_password() {
        let drive = Simulated { erase_fails: true, ..Simulated::with(CAPABLE) };
        assert!(erase(&drive, Action::Normal, &Unwatched).is_err());
        assert_eq!((drive.state.get().enabled, drive.state.get().locked), (false, false));
    }

    #[test]
    fn a_mode_that_the_drive_lacks_is_for_another_way() {
        let drive = Simulated::with(CAPABLE);
        assert!(matches!(erase(&drive, Action::Enhanced, &Unwatched), Err(DeviceError::Unsupported { .. })));
        assert!(drive.data.get() && !drive.state.get().enabled);
    }

    #[test]
    fn a_drive_that_takes_no_more_passwords_is_named_so() {
        let state = Security { enabled: true, locked: true, attempts_used_up: true, ..CAPABLE };
        let error = erase(&Simulated::with(state), Action::Normal, &Unwatched).unwrap_err().to_string();
        assert!(error.contains("power cycle"), "{error}");
    }

    #[test]
    fn an_open_drive_with_a_foreign_password_is_not_taken_for_erased() {
        let drive = Simulated::with(Security { enabled: true, ..CAPABLE });
        drive.password.borrow_mut()[..6].copy_from_slice(b"secret");
        let error = erase(&drive, Action::Normal, &Unwatched).unwrap_err().to_string();
        assert!(error.contains("password of somebody else"), "{error}");
        assert!(drive.data.get());
    }

    /// The words about security in what others have published of their disks.
    #[test]
    fn real_disks_are_understood() {
        for (words, expected) in [
            // SK hynix SC311, 256 GB: https://github.com/Seagate/openSeaChest/issues/229
            (
                [0x746b, 0x0001, 0x0001, 0x0021],
                Security { enhanced: true, normal_minutes: 2, enhanced_minutes: 2, ..CAPABLE },
            ),
            // A disk that takes 98 minutes, as the firmware has left it: https://tinyapps.org/docs/wipe_drives_hdparm.html
            (
                [0x746b, 0x0031, 0x0031, 0x0029],
                Security { frozen: true, enhanced: true, normal_minutes: 98, enhanced_minutes: 98, ..CAPABLE },
            ),
            // The same once it has a password: enabled, not frozen.
            (
                [0x746b, 0x0031, 0x0031, 0x0023],
                Security { enabled: true, enhanced: true, normal_minutes: 98, enhanced_minutes: 98, ..CAPABLE },
            ),
        ] {
            let mut page = [0; 512];
            for (at, word) in [82, 89, 90, 128].into_iter().zip(words) {
                page[2 * at..2 * at + 2].copy_from_slice(&u16::to_le_bytes(word));
            }
            assert_eq!(Security::parse(&page), expected);
        }
    }

    #[test]
    fn pages_that_a_bridge_damaged_are_noticed() {
        let mut page = [0; 512];
        assert!(is_intact(&page), "older drives have no integrity word");
        (page[0], page[510]) = (0x40, 0xa5);
        assert!(!is_intact(&page));
        page[511] = 0_u8.wrapping_sub(0x40 + 0xa5);
        assert!(is_intact(&page));
    }

    #[test]
    fn states_and_times_come_from_their_words() {
        let mut page = [0; 512];
        let mut word = |index: usize, value: u16| page[2 * index..2 * index + 2].copy_from_slice(&value.to_le_bytes());
        word(82, 2);
        word(128, 0b10_1001);
        word(89, 30);
        word(90, 0x8000 | 300);
        let state = Security::parse(&page);
        assert!(state.supported && state.frozen && state.enhanced && !state.enabled && !state.locked);
        assert_eq!((state.normal_minutes, state.enhanced_minutes), (60, 600));
        assert_eq!(state.limit(Action::Enhanced), Duration::from_secs(2 * 600 * 60 + 600));
        assert_eq!(Security::default().limit(Action::Normal), UNSTATED_LIMIT);
    }
}
