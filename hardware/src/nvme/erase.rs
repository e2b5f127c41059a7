//! The way from a wish to an erased device: what the controller can do, what runs there already, when to give up.

use std::time::Duration;

use super::admin::Command;
use super::commands::{self, Abilities, Action, FORMAT_LIMIT, LOG_BYTES, PAGE_BYTES, State, Status};
use crate::open_device::DeviceError;
use crate::watch::Watch;

const POLL: Duration = Duration::from_millis(500);

/// A namespace behind a controller that takes admin commands.
pub(super) trait Port {
    fn name(&self) -> &str;
    fn size_bytes(&self) -> u64;
    fn namespace_id(&self) -> Result<u32, DeviceError>;
    /// Runs a command; `data` is filled by the controller, or empty.
    fn run(&self, command: Command, data: &mut [u8], what: &'static str) -> Result<(), DeviceError>;
    fn wait(&self, time: Duration);
    fn elapsed(&self) -> Duration;
}

/// Erases by `action`; `staying` are the other namespaces that must not go.
pub(super) fn erase(
    port: &dyn Port,
    action: Action,
    staying: &[String],
    watch: &dyn Watch,
) -> Result<Action, DeviceError> {
    let device = port.name();
    let unsupported = |reason: String| DeviceError::Unsupported { device: device.to_string(), reason };
    if watch.cancelled() {
        return Err(DeviceError::Cancelled { device: device.to_string() });
    }
    let mut page = [0; PAGE_BYTES];
    port.run(commands::identify_controller(), &mut page, "Identify")?;
    let abilities = Abilities::parse(&page);
    let is_format = matches!(action, Action::FormatCrypto | Action::FormatUserData);
    if abilities.sanitizes() {
        let status = status(port)?;
        if status.state == State::Running {
            tracing::info!(device, "a sanitize was running already");
            let running = status.action.unwrap_or(Action::SanitizeBlock);
            return follow(port, running, status.limit(running), watch);
        }
        if status.state == State::Failed && is_format {
            return Err(unsupported("a sanitize has failed before: only another one may follow".to_string()));
        }
    }
    if !abilities.has(action) {
        return Err(unsupported("its controller has no such command".to_string()));
    }
    if !staying.is_empty() && (!is_format || abilities.all_namespaces) {
        let staying = staying.join(", ");
        return Err(unsupported(format!("its controller would erase all namespaces, and {staying} must stay")));
    }
    match action {
        Action::FormatCrypto | Action::FormatUserData => {
            let nsid = port.namespace_id()?;
            port.run(commands::identify_namespace(nsid), &mut page, "Identify")?;
            watch.expect_silence(FORMAT_LIMIT);
            port.run(commands::format(nsid, &page, action == Action::FormatCrypto), &mut [], "Format NVM")?;
            Ok(action)
        }
        _ => {
            let limit = status(port)?.limit(action);
            port.run(commands::sanitize(action), &mut [], "Sanitize")?;
            follow(port, action, limit, watch)
        }
    }
}

/// Waits until the sanitize that runs has ended.
fn follow(port: &dyn Port, action: Action, limit: Duration, watch: &dyn Watch) -> Result<Action, DeviceError> {
    let refused = |reason: String| DeviceError::Refused { device: port.name().to_string(), reason };
    let deadline = port.elapsed() + limit;
    let mut reported = 0;
    loop {
        let status = status(port)?;
        match status.state {
            State::Done => return Ok(action),
            State::Running => {}
            State::Failed => return Err(refused("Sanitize failed".to_string())),
            State::Never | State::Unknown(_) => {
                return Err(refused(format!("Sanitize has come to no end: its state is {:?}", status.state)));
            }
        }
        let done = port.size_bytes() / 65536 * u64::from(status.progress);
        watch.advance(done.saturating_sub(reported));
        reported = reported.max(done);
        if watch.cancelled() {
            return Err(DeviceError::Cancelled { device: port.name().to_string() });
        }
        if port.elapsed() >= deadline {
            return Err(refused(format!("Sanitize has not ended after {} s", limit.as_secs())));
        }
        port.wait(POLL);
    }
}

fn status(port: &dyn Port) -> Result<Status, DeviceError> {
    let mut page = [0; LOG_BYTES];
    port.run(commands::sanitize_log(), &mut page, "reading the sanitize log")?;
    Ok(Status::parse(&page))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    /// A controller with one namespace, which a sanitize keeps busy for some polls.
    struct Simulated {
        oacs: u8,
        sanicap: u8,
        fna: u8,
        /// SSTAT now, and after the sanitize that runs.
        state: Cell<u8>,
        after: Cell<u8>,
        polls: Cell<u16>,
        last_action: Cell<u8>,
        commands: RefCell<Vec<(u8, u32, u32)>>,
        time: Cell<Duration>,
        format_fails: bool,
    }

    impl Simulated {
        fn new(oacs: u8, sanicap: u8, fna: u8) -> Self {
            Self {
                oacs,
                sanicap,
                fna,
                state: Cell::new(0),
                after: Cell::new(1),
                polls: Cell::new(3),
                last_action: Cell::new(0),
                commands: RefCell::default(),
                time: Cell::default(),
                format_fails: false,
            }
        }

        /// What erased, without the questions asked.
        fn erasing(&self) -> Vec<(u8, u32, u32)> {
            self.commands.borrow().iter().copied().filter(|(opcode, ..)| *opcode >= 0x80).collect()
        }
    }

    impl Port for Simulated {
        fn name(&self) -> &str {
            "/dev/nvme0n1"
        }

        fn size_bytes(&self) -> u64 {
            1 << 30
        }

        fn namespace_id(&self) -> Result<u32, DeviceError> {
            Ok(5)
        }

        fn run(&self, command: Command, data: &mut [u8], what: &'static str) -> Result<(), DeviceError> {
            self.commands.borrow_mut().push((command.opcode, command.nsid, command.cdw10));
            match command.opcode {
                0x06 if command.cdw10 == 1 => (data[256], data[328], data[524]) = (self.oacs, self.sanicap, self.fna),
                0x06 => data[26] = 1,
                0x02 => {
                    if self.state.get() == 2 {
                        let left = self.polls.get();
                        self.polls.set(left.saturating_sub(1));
                        if left == 0 {
                            self.state.set(self.after.get());
                        }
                        data[1] = 0x10 * (4 - left.min(4)) as u8;
                    }
                    (data[2], data[4]) = (self.state.get(), self.last_action.get());
                    data[12..16].copy_from_slice(&30_u32.to_le_bytes());
                }
                0x80 if self.format_fails || self.state.get() == 2 => {
                    let reason = format!("{what} failed: NVMe status 0x410a");
                    return Err(DeviceError::Refused { device: self.name().to_string(), reason });
                }
                0x84 => {
                    self.last_action.set((command.cdw10 & 7) as u8);
                    self.state.set(2);
                }
                _ => {}
            }
            Ok(())
        }

        fn wait(&self, time: Duration) {
            self.time.set(self.time.get() + time);
        }

        fn elapsed(&self) -> Duration {
            self.time.get()
        }
    }

    #[derive(Default)]
    struct Follower {
        bytes: AtomicU64,
        stop: AtomicBool,
    }

    impl Watch for Follower {
        fn advance(&self, bytes: u64) {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }

        fn cancelled(&self) -> bool {
            self.stop.load(Ordering::Relaxed)
        }
    }

    const FORMAT: u8 = 2;
    const CRYPTO: u8 = 4;
    const ALL_NAMESPACES: u8 = 2;
    const SANITIZE: u8 = 0b111;

    fn run(port: &Simulated, action: Action, staying: &[&str]) -> Result<Action, DeviceError> {
        let staying: Vec<String> = staying.iter().map(ToString::to_string).collect();
        erase(port, action, &staying, &Follower::default())
    }

    #[test]
    fn a_format_erases_one_namespace_by_key_or_by_block() {
        for (action, word) in [(Action::FormatCrypto, 1 | 2 << 9), (Action::FormatUserData, 1 | 1 << 9)] {
            let port = Simulated::new(FORMAT, 0, CRYPTO);
            assert_eq!(run(&port, action, &["/dev/nvme0n2"]).unwrap(), action);
            assert_eq!(port.erasing(), [(0x80, 5, word)]);
        }
    }

    #[test]
    fn what_the_controller_lacks_is_not_sent() {
        let none = Simulated::new(0, 0, 0);
        for action in Action::ALL {
            assert!(matches!(run(&none, action, &[]), Err(DeviceError::Unsupported { .. })), "{action:?}");
        }
        assert!(none.erasing().is_empty());
        let no_key = Simulated::new(FORMAT, 0, 0);
        assert!(matches!(run(&no_key, Action::FormatCrypto, &[]), Err(DeviceError::Unsupported { .. })));
    }

    #[test]
    fn namespaces_that_must_stay_stay() {
        let whole = Simulated::new(FORMAT, SANITIZE, CRYPTO | ALL_NAMESPACES);
        for action in Action::ALL {
            let error = run(&whole, action, &["/dev/nvme0n2"]).unwrap_err();
            assert!(matches!(error, DeviceError::Unsupported { .. }), "{error}");
            assert!(error.to_string().contains("/dev/nvme0n2"), "{error}");
        }
        assert!(whole.erasing().is_empty());
    }

    #[test]
    fn a_sanitize_is_followed_to_its_end() {
        for (action, word) in
            [(Action::SanitizeCrypto, 4), (Action::SanitizeBlock, 2), (Action::SanitizeOverwrite, 0x13)]
        {
            let port = Simulated::new(0, SANITIZE, 0);
            let follower = Follower::default();
            assert_eq!(erase(&port, action, &[], &follower).unwrap(), action);
            assert_eq!(port.erasing(), [(0x84, 0, word)]);
            assert!(follower.bytes.load(Ordering::Relaxed) > 0);
        }
    }

    #[test]
    fn one_that_runs_already_is_followed_and_no_other_is_started() {
        let port = Simulated::new(FORMAT, SANITIZE, CRYPTO);
        port.state.set(2);
        port.last_action.set(2);
        assert_eq!(run(&port, Action::FormatCrypto, &[]).unwrap(), Action::SanitizeBlock);
        assert!(port.erasing().is_empty());
    }

    #[test]
    fn after_a_failed_one_only_a_sanitize_may_follow() {
        let port = Simulated::new(FORMAT, SANITIZE, CRYPTO);
        port.state.set(3);
        assert!(matches!(run(&port, Action::FormatUserData, &[]), Err(DeviceError::Unsupported { .. })));
        assert_eq!(run(&port, Action::SanitizeBlock, &[]).unwrap(), Action::SanitizeBlock);
    }

    #[test]
    fn failures_and_ends_that_are_none_are_failures() {
        for after in [0, 3, 5] {
            let port = Simulated::new(0, SANITIZE, 0);
            port.after.set(after);
            assert!(matches!(run(&port, Action::SanitizeBlock, &[]), Err(DeviceError::Refused { .. })), "{after}");
        }
        let port = Simulated { format_fails: true, ..Simulated::new(FORMAT, 0, 0) };
        let error = run(&port, Action::FormatUserData, &[]).unwrap_err().to_string();
        assert_eq!(error, "/dev/nvme0n1: Format NVM failed: NVMe status 0x410a");
    }

    #[test]
    fn one_that_never_ends_is_given_up() {
        let port = Simulated::new(0, SANITIZE, 0);
        port.polls.set(u16::MAX);
        let error = run(&port, Action::SanitizeBlock, &[]).unwrap_err().to_string();
        // Twice the 30 s that it promised, and 10 minutes.
        assert_eq!(error, "/dev/nvme0n1: Sanitize has not ended after 660 s");
    }

    #[test]
    fn it_can_be_stopped_before_and_while_it_waits() {
        let port = Simulated::new(FORMAT, SANITIZE, CRYPTO);
        let follower = Follower::default();
        follower.stop.store(true, Ordering::Relaxed);
        let stopped = erase(&port, Action::FormatCrypto, &[], &follower);
        assert!(matches!(stopped, Err(DeviceError::Cancelled { .. })));
        assert!(port.commands.borrow().is_empty());
        assert!(matches!(
            follow(&Simulated { state: Cell::new(2), ..port }, Action::SanitizeBlock, POLL, &follower),
            Err(DeviceError::Cancelled { .. })
        ));
    }
}
