//! Progress on terminals of every width: no line is broken, none is left behind, and what matters is there.

use std::time::Duration;

use ferric_tests::fault_server::{Behaviour, Fault, FaultServer};
use ferric_tests::image::{bootable, used_disk};
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::network::free_port;
use ferric_tests::process::program;
use ferric_tests::terminal::{Screen, Terminal};
use ferric_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(120);
const WIDTHS: [usize; 4] = [20, 40, 80, 200];

/// The agent as somebody runs it who has nothing to type: it asks no questions.
fn agent(arguments: &[String]) -> Vec<String> {
    let agent = program("ferric-agent").to_str().unwrap().to_string();
    let shell = ["sh", "-c", "exec \"$0\" \"$@\" </dev/null"].map(str::to_string);
    [&shell[..], &[agent], arguments].concat()
}

/// Runs the agent in a terminal; its last screens are of the result.
fn watch(columns: usize, arguments: &[String]) -> Vec<Screen> {
    Terminal::start(columns, &[], &agent(arguments)).unwrap().watch(LIMIT).unwrap()
}

/// The screens before the result is there, which the terminal may have broken anywhere.
fn while_running<'a>(screens: &'a [Screen], result: &str) -> Vec<&'a Screen> {
    let squeezed = |text: &str| text.replace(' ', "");
    let running = screens.iter().take_while(|screen| !squeezed(&screen.lines.concat()).contains(&squeezed(result)));
    running.filter(|screen| !screen.lines.is_empty()).collect()
}

fn write(url: &str, disk: &LoopDevice) -> Vec<String> {
    let disk = disk.path().to_str().unwrap();
    ["write-image", "--no-checksum", "--url", url, "--allow-device", disk, "--device", disk, "--retries", "1"]
        .map(str::to_string)
        .to_vec()
}

#[test]
fn a_bar_fits_every_width() {
    let image = bootable(16 << 20);
    // A second and a half, with a rest in between.
    let slow = Fault::Drip(256 << 10, Duration::from_millis(25));
    for columns in WIDTHS {
        let server = FaultServer::always(image.clone(), Behaviour::default(), slow.clone()).unwrap();
        let disk = used_disk(32 << 20).unwrap();
        let screens = watch(columns, &write(&server.url("/a"), &disk));
        let running = while_running(&screens, "written in");
        assert!(running.len() > 3, "{screens:?}");
        let name = disk.path().file_name().unwrap().to_str().unwrap();
        for screen in &running {
            assert_eq!((screen.lines.len(), screen.scrolled), (1, 0), "broken at {columns} columns: {screen:?}");
            assert!(screen.lines[0].contains(name), "{screen:?}");
        }
        let last = &running[running.len() - 1].lines[0];
        assert!(last.contains('%'), "{last}");
        assert_eq!(last.contains("MiB/s"), columns >= 40, "{last}");
        assert_eq!(last.contains("==="), columns >= 80, "{last}");
        assert_eq!(last.contains(" of 16.00 MiB"), columns >= 200, "{last}");
    }
}

#[test]
fn each_disk_has_a_line() {
    for columns in WIDTHS {
        let disks = [0; 3].map(|_| LoopDevice::new(128 << 20).unwrap());
        let mut arguments = vec!["erase".to_string(), "--full".into(), "--yes-destroy-data".into()];
        for disk in &disks {
            let disk = disk.path().to_str().unwrap().to_string();
            arguments.extend(["--allow-device".into(), disk.clone(), "--device".into(), disk]);
        }
        let screens = watch(columns, &arguments);
        let running = while_running(&screens, "erased (");
        // Three disks, and all of them; fewer while the first lines are being drawn.
        let is_drawn = |screen: &&&Screen| screen.lines.len() == 4 && screen.lines.iter().all(|line| !line.is_empty());
        for screen in &running {
            assert!(screen.lines.len() <= 4 && screen.scrolled == 0, "broken at {columns} columns: {screen:?}");
        }
        assert!(running.iter().any(|screen| is_drawn(&screen)), "{screens:?}");
        for screen in running.iter().filter(is_drawn) {
            for (disk, line) in disks.iter().zip(&screen.lines) {
                let name = disk.path().file_name().unwrap().to_str().unwrap();
                assert!(line.contains(name) && line.contains('%'), "{line}");
            }
        }
    }
}

#[test]
fn trouble_is_shown_while_it_lasts_and_no_colour_where_none_is_wanted() {
    let disk = used_disk(8 << 20).unwrap();
    let url = format!("http://127.0.0.1:{}/a", free_port().unwrap());
    let arguments = agent(&[write(&url, &disk), vec!["--retry-interval".into(), "8".into()]].concat());
    for (environment, is_coloured) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
        let terminal = Terminal::start(80, environment, &arguments).unwrap();
        let trouble = "connection refused, attempt 1 of 2, next in 8 s";
        wait_until(trouble, LIMIT, || terminal.screen().unwrap().lines.iter().any(|line| line == trouble));
        assert_eq!(terminal.coloured().unwrap().contains("\x1b[33m"), is_coloured);
        let screens = terminal.watch(LIMIT).unwrap();
        let last = &screens.last().unwrap().lines;
        assert!(!last.iter().any(|line| line == trouble), "{last:?}");
        assert!(last.iter().any(|line| line.contains("was not written")), "{last:?}");
    }
}
