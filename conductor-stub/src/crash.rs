//! Where a test has the conductor die: before and after everything that it writes or does to others.
//!
//! With `CONDUCTOR_STUB_CRASH_AT=N` a debug build kills itself at the N-th of these points. A release build has none.

/// One point.
#[cfg(debug_assertions)]
pub fn point() {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    static FATAL: LazyLock<Option<u64>> = LazyLock::new(|| std::env::var("CONDUCTOR_STUB_CRASH_AT").ok()?.parse().ok());
    static PASSED: AtomicU64 = AtomicU64::new(0);
    if let Some(fatal) = *FATAL
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == fatal
    {
        // No destructor, no flush: as a power switch does it.
        let _ = kill(Pid::this(), Signal::SIGKILL);
        std::thread::park();
    }
}

/// One point.
#[cfg(not(debug_assertions))]
pub fn point() {}
