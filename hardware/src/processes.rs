//! What runs on the machine, for its logs.

use std::fmt::Write;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// The processes by id as a text table: id, parent, state, resident memory and CPU time, command line. Above it load and
/// memory. Needs no `ps` and no `free`, which a container made of one program lacks.
///
/// # Errors
/// When this system does not show its processes.
pub fn table() -> Result<String, sysinfo::Error> {
    let mut system = System::new()?;
    system.refresh_memory();
    let kind = ProcessRefreshKind::nothing().with_memory().with_cpu().with_cmd(UpdateKind::Always).without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let mut processes: Vec<_> = system.processes().values().collect();
    processes.sort_by_key(|process| process.pid());
    let mut text = String::new();
    let load = System::load_average()?;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "load {:.2} {:.2} {:.2}", load.one, load.five, load.fifteen);
    let mib = |bytes: u64| bytes >> 20;
    let (total, available) = (mib(system.total_memory()), mib(system.available_memory()));
    let _ = writeln!(text, "memory {total} MiB, {available} MiB available");
    let _ = writeln!(text, "{:>7} {:>7} {:<12} {:>9} {:>8}  COMMAND", "PID", "PPID", "STATE", "RSS KiB", "CPU s");
    for process in processes {
        let parent = process.parent().map_or(0, |parent| parent.as_u32());
        let words: Vec<_> = process.cmd().iter().map(|word| word.to_string_lossy()).collect();
        let command = match words.is_empty() {
            true => format!("[{}]", process.name().to_string_lossy()),
            false => words.join(" "),
        };
        let _ = writeln!(
            text,
            "{:>7} {parent:>7} {:<12} {:>9} {:>8.2}  {command}",
            process.pid().as_u32(),
            process.status().to_string(),
            process.memory() >> 10,
            process.accumulated_cpu_time() as f64 / 1000.0,
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_the_table_with_its_command_line() {
        let text = table().unwrap();
        let id = std::process::id().to_string();
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(&id)).unwrap();
        assert!(line.contains(&std::env::args().next().unwrap()), "{line}");
    }
}
