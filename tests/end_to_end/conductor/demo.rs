//! `conductor-stub demo`: the whole life of a machine, and nothing left of it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ferric_tests::process::{Process, program};
use ferric_tests::recording::svg;
use ferric_tests::terminal::{Screen, Terminal};

use super::assert_nothing_left;

const LIMIT: Duration = Duration::from_secs(170);

fn demo() -> Process {
    Process::start(Command::new(program("conductor-stub")).arg("demo")).unwrap()
}

/// Runs it on a narrow terminal, where it has one line that changes. Returns what it printed and its exit code.
fn on_terminal(columns: usize) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let line = format!("\"$0\" demo >{}; echo $? >{}", file("said").display(), file("code").display());
    let words = ["sh", "-c", &line, &program("conductor-stub").display().to_string()];
    let screens = Terminal::start(columns, &[], &words).unwrap().watch(LIMIT).unwrap();
    // What stays is said once, on as many rows as it takes.
    let stays = [
        "building the image (once per kernel) and a 2 GiB disk",
        "conductor and its page: http://127.0.0.1:65535/",
        "reading the disk back",
    ];
    let rows = stays.map(|text| text.len().div_ceil(columns)).iter().sum::<usize>() + 1;
    for screen in &screens {
        assert!(screen.scrolled == 0 && screen.lines.len() <= rows, "flooded: {screen:?}");
    }
    assert!(screens.iter().any(|screen| screen.lines.iter().any(|line| line.contains('%'))), "{screens:?}");
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    (read("said"), read("code"))
}

/// A recording of it as `demo.svg`, by the programs of the folder `programs`.
fn record(pictures: &Path, programs: &Path) {
    const COLUMNS: usize = 120;
    let words = [programs.join("conductor-stub").display().to_string(), "demo".into()];
    let terminal = Terminal::start(COLUMNS, &[], &words).unwrap();
    let (started, mut screens) = (Instant::now(), Vec::<(Duration, Screen)>::new());
    while !screens.last().is_some_and(|(_, screen)| screen.lines.iter().any(|line| line.contains("config drive found")))
    {
        assert!(started.elapsed() < LIMIT, "{screens:?}");
        let screen = terminal.screen().unwrap();
        if screens.last().is_none_or(|(_, last)| *last != screen) {
            screens.push((started.elapsed(), screen));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    terminal.watch(LIMIT).unwrap();
    std::fs::write(pictures.join("demo.svg"), svg(&screens, COLUMNS)).unwrap();
}

/// All cases in one test: they would see each other's leftovers.
#[test]
fn the_demo_deploys_and_leaves_nothing_behind() {
    let (output, code) = on_terminal(20);
    assert_eq!(code, "0\n", "{output}");
    for word in ["inspect", "clean", "write_image", "identical; 2 partitions", "config drive found"] {
        assert!(output.contains(word), "no `{word}` in\n{output}");
    }
    assert_nothing_left("ferric-demo-");
    // For documents: with figures of a release build, where `FERRIC_PROGRAMS` names one.
    if let Some(pictures) = std::env::var_os("FERRIC_PICTURES") {
        let built = || program("conductor-stub").parent().unwrap().as_os_str().to_owned();
        record(Path::new(&pictures), Path::new(&std::env::var_os("FERRIC_PROGRAMS").unwrap_or_else(built)));
    }

    let mut kept = Process::start(Command::new(program("conductor-stub")).args(["demo", "--keep"])).unwrap();
    kept.wait_for("baremetal node list", LIMIT).unwrap();
    let log = kept.log();
    let url = log.split("OS_ENDPOINT=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let node = Command::new("curl")
        .args(["--silent", "--fail", "--header", "X-OpenStack-Ironic-API-Version: 1.95"])
        .arg(format!("{url}/v1/nodes/demo"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&node.stdout).contains("\"active\""), "{node:?}");
    let id = kept.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(kept.wait(LIMIT).unwrap(), Some(0), "{}", kept.log());
    assert_nothing_left("ferric-demo-");

    let mut interrupted = demo();
    interrupted.wait_for("inspect wait", LIMIT).unwrap();
    let id = interrupted.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(interrupted.wait(LIMIT).unwrap(), Some(1), "{}", interrupted.log());
    assert_nothing_left("ferric-demo-");
}
