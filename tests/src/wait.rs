//! Nothing in a test waits for ever.

use std::sync::Once;
use std::time::{Duration, Instant};

/// Longer than all tests of one program take together on the slowest machine that is of use.
const WHOLE_PROGRAM: Duration = Duration::from_secs(45 * 60);

/// Waits until `is_so`.
///
/// # Panics
/// When it is not within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends the test program when its tests are not through after 45 minutes, and says which of them still run: one that
/// waits for a program that never answers would hold up all that come after it, without a word.
pub(crate) fn limit_the_program() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        std::thread::spawn(|| {
            std::thread::sleep(WHOLE_PROGRAM);
            eprintln!("after {WHOLE_PROGRAM:?} tests still run, on these threads (names are cut): {:?}", threads());
            std::process::exit(101);
        });
    });
}

/// The names of this program's threads: the test harness names each after its test.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).filter(|name| name.contains(':')).collect()
}
