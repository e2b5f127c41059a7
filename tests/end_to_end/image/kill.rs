//! The writer killed at any instant: the disk is complete, untouched or cannot boot.

use std::process::Command;
use std::time::{Duration, Instant};

use ferric_tests::fault_server::{Behaviour, Fault, FaultServer};
use ferric_tests::image::{State, bootable, fill_with_old, state, used_disk};
use ferric_tests::process::{Process, program};

/// Kills per run, spread evenly over the time of a whole write.
const KILLS: u32 = 25;

#[test]
fn a_killed_writer_never_leaves_half_an_image_that_boots() {
    let image = bootable(8 << 20);
    let digest = ferric_steps::image::Digest::of(ferric_steps::image::Algorithm::Sha256, &image).to_string();
    let drip = Fault::Drip(64 << 10, Duration::from_millis(1));
    let server = FaultServer::always(image.clone(), Behaviour::default(), drip).unwrap();
    let disk = used_disk(image.len() as u64).unwrap();
    let start = || {
        let mut command = Command::new(program("ferric-agent"));
        command.args(["write-image", "--progress", "none", "--url", &server.url("/image"), "--checksum", &digest]);
        command.arg("--allow-device").arg(disk.path()).arg("--device").arg(disk.path());
        Process::start(&mut command).unwrap()
    };
    let started = Instant::now();
    assert_eq!(start().wait(Duration::from_secs(120)).unwrap(), Some(0));
    let whole = started.elapsed();
    assert_eq!(state(&disk, &image).unwrap(), State::Written);

    let mut wiped = 0;
    for kill in 0..KILLS {
        fill_with_old(&disk).unwrap();
        let mut writer = start();
        // Past the end too: a kill may come too late.
        std::thread::sleep(whole * (kill + 1) / KILLS);
        writer.kill();
        wiped += u32::from(matches!(state(&disk, &image).unwrap(), State::Wiped | State::BetweenTheEnds));
    }
    assert!(wiped > 0, "no kill met the writer at work");
}
