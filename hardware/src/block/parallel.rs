//! Reading many devices at once: sysfs is nothing but system calls.

use std::panic::resume_unwind;
use std::thread;

/// Fewer devices than this for a thread are not worth one.
const FEWEST: usize = 64;

/// `work` on each of `items`, in their order, on as many processors as that pays for.
pub(super) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(items.len() / FEWEST).max(1);
    if threads == 1 {
        return items.iter().map(work).collect();
    }
    let work = &work;
    thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(threads));
        let running: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>())).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays() {
        for length in [0, 1, FEWEST, 10 * FEWEST + 7] {
            let items: Vec<usize> = (0..length).collect();
            assert_eq!(map(&items, |item| item + 1), (1..=length).collect::<Vec<_>>());
        }
    }
}
