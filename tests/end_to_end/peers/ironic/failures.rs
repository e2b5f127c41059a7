//! What goes wrong: bad checksums, failing steps, agents and conductors that die.

use ferric_tests::disk_image::gpt_image;
use ferric_tests::ironic::Settings;
use serde_json::json;

use super::lab::Lab;

#[test]
fn a_wrong_checksum_fails_the_deployment_and_leaves_nothing_bootable() {
    let mut lab = Lab::new(Settings::default()).unwrap();
    let image = gpt_image(&lab.images(), 64).unwrap();
    lab.provision("provide", json!({})).unwrap();
    let error = lab
        .deploy(
            json!({"image_source": lab.image_url(&image), "image_disk_format": "raw", "image_checksum": "0".repeat(64)}),
            json!({}),
        )
        .unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("failed to verify against checksum"), "{text}");
    let disk = lab.disk.read().unwrap();
    assert!(disk[..1 << 20].iter().all(|byte| *byte == 0), "no boot sector and no partition table");
    assert!(disk[disk.len() - (1 << 20)..].iter().all(|byte| *byte == 0), "no backup GPT");
}

#[test]
fn steps_that_fail_or_lose_their_agent_fail_the_operation_and_a_lost_conductor_does_not() {
    let mut lab = Lab::new(Settings { require_tls: true, ..Settings::default() }).unwrap();
    let step = |name: &str| json!({"clean_steps": [{"interface": "deploy", "step": name, "args": {}}]});

    let error = format!("{:#}", lab.provision("clean", step("fail")).unwrap_err());
    assert!(error.contains("clean failed") && error.contains("the lab wants it so"), "{error}");
    lab.recover().unwrap();

    // A container that the operator has not listed is not run.
    let other = json!({"clean_steps": [{"interface": "deploy", "step": "generic_container_step",
        "args": {"container_url": format!("{}0", lab.containers.image())}}]});
    let error = format!("{:#}", lab.provision("clean", other).unwrap_err());
    assert!(error.contains("clean failed") && error.contains("is not one of [container]allowed_containers"), "{error}");
    lab.recover().unwrap();

    // The agent dies in the middle and comes back: the step is known to have failed, not taken as done.
    lab.start("clean", step("pause")).unwrap();
    lab.wait_for_pause().unwrap();
    lab.kill_agent().unwrap();
    lab.reach("clean failed").unwrap();
    lab.resume().unwrap();
    lab.recover().unwrap();

    // The conductor dies in the middle and comes back: the cleaning goes on to its end.
    lab.start("clean", step("pause")).unwrap();
    lab.wait_for_pause().unwrap();
    lab.ironic.restart().unwrap();
    lab.resume().unwrap();
    lab.reach("manageable").unwrap();
}
