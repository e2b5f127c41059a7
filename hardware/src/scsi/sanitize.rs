//! SCSI disks that erase themselves: SANITIZE (SBC-4, 5.37), where REPORT SUPPORTED OPERATION CODES says that they can.

use std::time::{Duration, Instant};

use super::{Data, ScsiError, Sense};
use crate::block::EligibleDevice;
use crate::machine::Machine;
use crate::open_device::{Access, DeviceError, OpenDevice};
use crate::watch::Watch;

const QUICK: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(500);
/// Overwriting a large disk takes a day; no disk says beforehand how long.
const LIMIT: Duration = Duration::from_secs(48 * 3600);

const SANITIZE: u8 = 0x48;
/// Sense: not ready, sanitize in progress.
const IN_PROGRESS: (u8, u8, u8) = (0x2, 0x04, 0x1b);

/// A way in which a disk erases itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The key of the data goes.
    Crypto,
    /// Every block is erased by the device's own means.
    Block,
    /// Every block is overwritten with zeros, once.
    Overwrite,
}

impl Action {
    /// Every way, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Crypto, Self::Block, Self::Overwrite];

    fn service_action(self) -> u8 {
        match self {
            Self::Overwrite => 0x01,
            Self::Block => 0x02,
            Self::Crypto => 0x03,
        }
    }
}

/// Makes the disk erase itself, and waits for the end. `watch` is asked while it runs (which then goes on).
///
/// # Errors
/// [`DeviceError::Unsupported`] when it does not say that it can; [`DeviceError::Refused`] when it fails or does not end.
pub fn erase(machine: &Machine, device: &EligibleDevice, action: Action, watch: &dyn Watch) -> Result<(), DeviceError> {
    let open = OpenDevice::open(machine, device, Access::Write)?;
    sanitize(&Disk { open: &open, opened: Instant::now() }, action, watch)
}

/// A disk that takes SCSI commands.
trait Target {
    fn name(&self) -> &str;
    fn size_bytes(&self) -> u64;
    fn run(&self, block: &[u8], data: Data<'_>) -> Result<(), ScsiError>;
    fn wait(&self, time: Duration);
    fn elapsed(&self) -> Duration;
}

struct Disk<'a> {
    open: &'a OpenDevice,
    opened: Instant,
}

impl Target for Disk<'_> {
    fn name(&self) -> &str {
        self.open.name()
    }

    fn size_bytes(&self) -> u64 {
        self.open.size().0
    }

    fn run(&self, block: &[u8], data: Data<'_>) -> Result<(), ScsiError> {
        super::run(self.open.file(), block, data, QUICK)
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn elapsed(&self) -> Duration {
        self.opened.elapsed()
    }
}

/// REPORT SUPPORTED OPERATION CODES, one command with its service action.
fn is_supported_block(action: Action) -> [u8; 12] {
    const ONE_WITH_SERVICE_ACTION: u8 = 0b011;
    let mut block = [0; 12];
    (block[0], block[1], block[2], block[3]) = (0xa3, 0x0c, ONE_WITH_SERVICE_ACTION, SANITIZE);
    (block[5], block[9]) = (action.service_action(), SUPPORT_BYTES as u8);
    block
}

const SUPPORT_BYTES: usize = 16;

/// SANITIZE that answers at once; a disk that fails stays locked until one succeeds.
fn sanitize_block(action: Action) -> [u8; 10] {
    const IMMEDIATE: u8 = 0x80;
    let mut block = [0; 10];
    (block[0], block[1]) = (SANITIZE, IMMEDIATE | action.service_action());
    if action == Action::Overwrite {
        block[8] = ONCE_WITH_ZEROS.len() as u8;
    }
    block
}

/// The parameters of overwriting: once, with a pattern of four bytes.
const ONCE_WITH_ZEROS: [u8; 8] = [1, 0, 0, 4, 0, 0, 0, 0];

fn request_sense_block() -> [u8; 6] {
    [0x03, 0, 0, 0, 64, 0]
}

fn sanitize(target: &dyn Target, action: Action, watch: &dyn Watch) -> Result<(), DeviceError> {
    let device = || target.name().to_string();
    let refused = |reason: String| DeviceError::Refused { device: device(), reason };
    let unsupported = |reason: String| DeviceError::Unsupported { device: device(), reason };
    if watch.cancelled() {
        return Err(DeviceError::Cancelled { device: device() });
    }
    // One that runs already, from before a restart, is waited for. A disk that does not take even this command (ATA disks
    // behind a translation) has no SANITIZE.
    let first = sense(target).map_err(|error| unsupported(format!("REQUEST SENSE failed: {error}")))?;
    if !is_running(first) {
        let mut support = [0; SUPPORT_BYTES];
        let asked = target.run(&is_supported_block(action), Data::In(&mut support));
        if asked.is_err() || support[1] & 0b111 != 0b011 {
            return Err(unsupported("it reports no such command".to_string()));
        }
        let parameters = match action {
            Action::Overwrite => Data::Out(&ONCE_WITH_ZEROS),
            Action::Crypto | Action::Block => Data::None,
        };
        let started = target.run(&sanitize_block(action), parameters);
        started.map_err(|error| refused(format!("SANITIZE failed: {error}")))?;
    }
    let mut reported = 0;
    loop {
        let sense = sense(target).map_err(|error| refused(format!("REQUEST SENSE failed: {error}")))?;
        if !is_running(sense) {
            return match sense.key {
                0 | 1 => Ok(()),
                key => {
                    let (code, qualifier) = (sense.code, sense.qualifier);
                    Err(refused(format!("SANITIZE failed: sense {key:#x}/{code:02x}/{qualifier:02x}")))
                }
            };
        }
        let done = target.size_bytes() / 65536 * u64::from(sense.progress.unwrap_or(0));
        watch.advance(done.saturating_sub(reported));
        reported = reported.max(done);
        if watch.cancelled() {
            return Err(DeviceError::Cancelled { device: device() });
        }
        if target.elapsed() >= LIMIT {
            return Err(refused(format!("SANITIZE has not ended after {} s", LIMIT.as_secs())));
        }
        target.wait(POLL);
    }
}

fn is_running(sense: Sense) -> bool {
    (sense.key, sense.code, sense.qualifier) == IN_PROGRESS
}

fn sense(target: &dyn Target) -> Result<Sense, ScsiError> {
    let mut data = [0; 64];
    target.run(&request_sense_block(), Data::In(&mut data))?;
    Ok(Sense::parse(&data))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A disk whose sanitize runs for some polls and then ends with a sense key.
    struct Simulated {
        support: u8,
        polls: Cell<u32>,
        running: Cell<bool>,
        ends_with: u8,
        sent: RefCell<Vec<Vec<u8>>>,
        parameters: RefCell<Vec<u8>>,
        time: Cell<Duration>,
    }

    impl Simulated {
        fn new(support: u8, ends_with: u8) -> Self {
            Self {
                support,
                ends_with,
                polls: Cell::new(3),
                running: Cell::new(false),
                sent: RefCell::default(),
                parameters: RefCell::default(),
                time: Cell::default(),
            }
        }

        fn sanitizes(&self) -> Vec<Vec<u8>> {
            self.sent.borrow().iter().filter(|block| block[0] == SANITIZE).cloned().collect()
        }
    }

    impl Target for Simulated {
        fn name(&self) -> &str {
            "/dev/sdx"
        }

        fn size_bytes(&self) -> u64 {
            1 << 30
        }

        fn run(&self, block: &[u8], data: Data<'_>) -> Result<(), ScsiError> {
            self.sent.borrow_mut().push(block.to_vec());
            match (block[0], data) {
                (0xa3, Data::In(buffer)) => buffer[1] = self.support,
                (SANITIZE, data) => {
                    self.running.set(true);
                    if let Data::Out(parameters) = data {
                        self.parameters.borrow_mut().extend(parameters);
                    }
                }
                (0x03, Data::In(buffer)) if self.running.get() && self.polls.get() > 0 => {
                    self.polls.set(self.polls.get() - 1);
                    // Half of it is done.
                    buffer[..18].copy_from_slice(&[0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 4, 0x1b, 0, 0x80, 0x80, 0]);
                }
                (0x03, Data::In(buffer)) => {
                    buffer[0] = 0x70;
                    if self.running.get() {
                        buffer[2] = self.ends_with;
                    }
                }
                _ => {}
            }
            Ok(())
        }

        fn wait(&self, time: Duration) {
            self.time.set(self.time.get() + time * 3600);
        }

        fn elapsed(&self) -> Duration {
            self.time.get()
        }
    }

    #[derive(Default)]
    struct Counted(AtomicU64);

    impl Watch for Counted {
        fn advance(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }

        fn cancelled(&self) -> bool {
            false
        }
    }

    fn run(disk: &Simulated, action: Action) -> Result<(), DeviceError> {
        sanitize(disk, action, &Counted::default())
    }

    #[test]
    fn command_blocks_are_those_of_the_specification() {
        assert_eq!(is_supported_block(Action::Block), [0xa3, 0x0c, 3, 0x48, 0, 2, 0, 0, 0, 16, 0, 0]);
        assert_eq!(sanitize_block(Action::Crypto), [0x48, 0x83, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sanitize_block(Action::Block), [0x48, 0x82, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sanitize_block(Action::Overwrite), [0x48, 0x81, 0, 0, 0, 0, 0, 0, 8, 0]);
    }

    #[test]
    fn a_disk_that_reports_it_is_sanitized_and_waited_for() {
        for action in Action::ALL {
            let disk = Simulated::new(3, 0);
            let counted = Counted::default();
            sanitize(&disk, action, &counted).unwrap();
            assert_eq!(disk.sanitizes(), [sanitize_block(action)]);
            assert_eq!(disk.parameters.borrow().is_empty(), action != Action::Overwrite);
            assert_eq!(counted.0.into_inner(), 1 << 29);
        }
    }

    #[test]
    fn a_disk_that_does_not_report_it_is_not_asked() {
        for support in [0, 1, 5] {
            let disk = Simulated::new(support, 0);
            assert!(matches!(run(&disk, Action::Block), Err(DeviceError::Unsupported { .. })), "{support}");
            assert!(disk.sanitizes().is_empty());
        }
    }

    #[test]
    fn one_that_runs_already_is_waited_for() {
        let disk = Simulated::new(0, 0);
        disk.running.set(true);
        run(&disk, Action::Block).unwrap();
        assert!(disk.sanitizes().is_empty());
    }

    #[test]
    fn failures_and_endless_ones_are_failures() {
        let failed = run(&Simulated::new(3, 3), Action::Block).unwrap_err().to_string();
        assert!(failed.starts_with("/dev/sdx: SANITIZE failed: sense 0x3"), "{failed}");
        let endless = Simulated::new(3, 0);
        endless.polls.set(u32::MAX);
        let error = run(&endless, Action::Overwrite).unwrap_err().to_string();
        assert_eq!(error, "/dev/sdx: SANITIZE has not ended after 172800 s");
    }

    /// What disks answered to others, as they have published it.
    #[test]
    fn sense_data_of_real_disks_is_understood() {
        for (reported, expected) in [
            // A frozen SATA disk, to SECURITY UNLOCK: https://github.com/jethrogb/lenovo-password/issues/4
            (&[0x70, 0, 5, 0, 0, 0, 0, 0x0a, 4, 0x51, 0x40, 1, 0x21, 4][..], (5, 0x21, 4)),
            // Another, of which no more was to be had.
            (&[0x70, 0, 0x0b, 0, 0, 0, 0, 0x0a], (0x0b, 0, 0)),
            // A SAS disk, to a command of ATA; its last bytes are the field that it means, not how far it is:
            // https://github.com/louwrentius/showtools/issues/7
            (&[0x72, 5, 0x20, 0, 0, 0, 0, 0x1c, 2, 6, 0, 0, 0xcf, 0, 0, 0, 3, 2, 0, 1, 0x80, 0x0e], (5, 0x20, 0)),
        ] {
            let mut sense = [0; 64];
            sense[..reported.len()].copy_from_slice(reported);
            let sense = Sense::parse(&sense);
            assert_eq!(
                (sense.key, sense.code, sense.qualifier, sense.progress),
                (expected.0, expected.1, expected.2, None)
            );
        }
    }

    #[test]
    fn progress_is_read_from_both_forms_of_sense_data() {
        let mut sense = [0; 64];
        sense[..18].copy_from_slice(&[0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 4, 0x1b, 0, 0x80, 0x40, 1]);
        let fixed = Sense::parse(&sense);
        assert_eq!((fixed.key, fixed.code, fixed.qualifier, fixed.progress), (2, 4, 0x1b, Some(0x4001)));
        sense = [0; 64];
        // An information descriptor first, then the sense key specific one.
        sense[..8].copy_from_slice(&[0x72, 2, 4, 0x1b, 0, 0, 0, 20]);
        (sense[8], sense[9]) = (0, 10);
        sense[20..28].copy_from_slice(&[2, 6, 0, 0, 0x80, 0x40, 1, 0]);
        assert_eq!(Sense::parse(&sense), fixed);
        assert_eq!(Sense::parse(&[0; 64]).progress, None);
    }
}
