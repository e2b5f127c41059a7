//! A machine's own page: where it is, what it does, and what can be done.

use std::io::Write;

use conductor_stub::state::ProvisionState as S;
use serde_json::json;
use thirtyfour::Key;

use crate::browser::Browser;
use crate::fleet::Fleet;

async fn open(fleet: &Fleet, name: &str) -> Browser {
    let browser = Browser::start().await.unwrap();
    browser.look(1400, 900, "light").await.unwrap();
    browser.open(&fleet.url(&format!("/page/nodes/{name}"))).await.unwrap();
    browser.until("document.querySelector('#connection').dataset.live === 'yes'").await.unwrap();
    browser
}

const BUTTONS: &str = "[...document.querySelectorAll('#actions button')].map((button) => button.textContent).join(' ')";

#[tokio::test(flavor = "multi_thread")]
async fn buttons_do_what_the_state_allows() {
    let mut fleet = Fleet::start(1).await.unwrap();
    let node = fleet.node(0).unwrap();
    node.spec.driver = "fake-hardware".into();
    node.spec.boot_interface = None;
    node.spec.automated_clean = Some(false);
    node.provision_state = S::Enroll;
    node.target_provision_state = None;
    node.power_state = None;
    fleet.save(0).unwrap();
    let browser = open(&fleet, "r01-n01").await;
    let state = "document.querySelector('#state').textContent";
    browser.until(&format!("{BUTTONS}.startsWith('Manage Switch on')")).await.unwrap();
    // By keyboard alone.
    browser.run("document.querySelector('#actions button').focus()").await.unwrap();
    browser.press(Key::Enter + "").await.unwrap();
    browser
        .until(&format!("{state} === 'manageable' && {BUTTONS}.startsWith('Inspect Provide Clean… Adopt')"))
        .await
        .unwrap();

    // What erases disks asks first; the safe answer has the focus.
    browser.button("Provide").await.unwrap().click().await.unwrap();
    browser
        .until("document.querySelector('#dialog').open && document.activeElement.id === 'dialog-cancel'")
        .await
        .unwrap();
    browser.press(Key::Escape + "").await.unwrap();
    browser.until("!document.querySelector('#dialog').open").await.unwrap();
    assert_eq!(browser.run(&format!("return {state}")).await.unwrap(), "manageable");
    browser.button("Provide").await.unwrap().click().await.unwrap();
    browser.find("#dialog-go").await.unwrap().click().await.unwrap();
    browser.until(&format!("{state} === 'available' && !document.querySelector('#dialog').open")).await.unwrap();
    browser.until("document.querySelector('.machine-map [data-here]').dataset.state === 'available'").await.unwrap();
    let next = "[...document.querySelectorAll('.machine-map [data-next]')].map((one) => one.dataset.state).join()";
    assert_eq!(browser.run(&format!("return {next}")).await.unwrap(), "manageable,deploying");

    // A refusal is shown in the conductor's words, where it was asked.
    browser.button("Deploy…").await.unwrap().click().await.unwrap();
    browser.until("document.activeElement.type === 'text'").await.unwrap();
    browser.press("ftp://nowhere/image").await.unwrap();
    browser.press(Key::Enter + "").await.unwrap();
    browser
        .until("document.querySelector('#dialog-refusal').textContent.includes('Failed to validate deploy')")
        .await
        .unwrap();
    browser.find("#dialog-cancel").await.unwrap().click().await.unwrap();
    let node = fleet.server.conductor.find(&fleet.nodes[0].uuid.to_string()).unwrap();
    assert_eq!(node.spec.instance_info["image_source"], "ftp://nowhere/image");
    browser.until("!document.querySelector('#dialog').open").await.unwrap();

    browser.button("Maintenance…").await.unwrap().click().await.unwrap();
    browser.press("a fan").await.unwrap();
    browser.press(Key::Enter + "").await.unwrap();
    browser.until("document.querySelector('#maintenance').textContent === 'In maintenance: a fan'").await.unwrap();
    browser.button("End maintenance").await.unwrap().click().await.unwrap();
    browser.until("document.querySelector('#maintenance').hidden").await.unwrap();
    browser.is_content(&["status of 400", "status of 404"]).await.unwrap();
    browser.quit().await.unwrap();
    fleet.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_the_machine() {
    let mut fleet = Fleet::start(4).await.unwrap();
    fleet.live_through(3).unwrap();
    fleet.progress(3, 1 << 30);
    let browser = open(&fleet, "r01-n04").await;
    browser
        .until("document.querySelector('#amounts').textContent.includes('1.0 GiB of 4.0 GiB · 512 MiB/s · 6 s left')")
        .await
        .unwrap();
    browser.until("document.querySelector('#bar').value === 0.25").await.unwrap();
    let names = "[...document.querySelectorAll('#timeline h3')].map((name) => name.textContent).join(' ')";
    assert_eq!(browser.run(&format!("return {names}")).await.unwrap(), "Deploy Clean Inspect Verify");
    let steps = browser.run("return document.querySelector('#timeline').textContent").await.unwrap();
    assert!(steps.as_str().unwrap().contains("erase_devices9 min 7 s, 894 GiB at"), "{steps}");
    let disks = "document.querySelectorAll('#inventory table')[0].querySelectorAll('tbody tr').length";
    assert_eq!(browser.run(&format!("return {disks}")).await.unwrap(), 3);
    let console = "document.querySelector('#console').textContent";
    browser.until(&format!("{console}.includes('\\nferric-agent listening on')")).await.unwrap();
    assert_eq!(
        browser.run(&format!("return /\\x1b/.test({console})")).await.unwrap(),
        false,
        "what a terminal does is left out"
    );
    let mut log = std::fs::File::options().append(true).open(fleet.folder().join("console")).unwrap();
    log.write_all(b"\nferric-agent: done, token=s3cret\n").unwrap();
    browser.until(&format!("{console}.includes('ferric-agent: done, token=******')")).await.unwrap();

    fleet.struggles(3);
    browser
        .until("document.querySelector('#trouble').textContent.startsWith('connection refused, attempt 3')")
        .await
        .unwrap();
    let devices = "[...document.querySelectorAll('#devices li')].map((line) => line.textContent).join()";
    assert_eq!(
        browser.run(&format!("return {devices}")).await.unwrap(),
        "/dev/sda: erasing · 1.0 GiB of 4.0 GiB · 3 s left,/dev/sdb: waiting"
    );
    fleet.progress(3, 3 << 30);
    browser.until("document.querySelector('#bar').value === 0.75").await.unwrap();
    browser.until("document.querySelector('#trouble').hidden").await.unwrap();
    assert_eq!(browser.run(&format!("return {devices}")).await.unwrap(), "");
    let detail = json!({"seconds": 8.0, "progress": {"done_bytes": 4_u64 << 30}});
    fleet.happens(3, "step", "write_image", detail).unwrap();
    fleet.node(3).unwrap().internal.plan = None;
    fleet.enter(3, S::Deploying).unwrap();
    fleet.enter(3, S::Active).unwrap();
    browser.until("document.querySelector('#state').textContent === 'active'").await.unwrap();
    browser.until("document.querySelector('#step').textContent === 'Nothing is running'").await.unwrap();
    browser.until("document.querySelector('#timeline .took').textContent.endsWith('→ active')").await.unwrap();
    browser.until("document.querySelector('#events').textContent.includes('write_image in 8.0 s')").await.unwrap();

    fleet.server.conductor.store.delete_node(fleet.nodes[3].uuid).unwrap();
    browser.until("document.querySelector('#missing').textContent.includes('removed')").await.unwrap();
    browser.is_content(&["status of 404"]).await.unwrap();
    browser.quit().await.unwrap();
    fleet.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_can_be_used_has_a_name() {
    let mut fleet = Fleet::start(12).await.unwrap();
    fleet.live_through(3).unwrap();
    let browser = open(&fleet, "r01-n04").await;
    for (path, is_there) in [
        ("/page", "document.querySelectorAll('#machines > li').length === 12"),
        ("/page/nodes/r01-n04", "!!document.querySelector('#state').textContent"),
    ] {
        browser.open(&fleet.url(path)).await.unwrap();
        browser.until(is_there).await.unwrap();
        browser.until("document.querySelector('#connection').dataset.live === 'yes'").await.unwrap();
        let tree = browser.cdp("Accessibility.getFullAXTree", json!({})).await.unwrap();
        let used = [
            "button",
            "link",
            "searchbox",
            "textbox",
            "checkbox",
            "progressbar",
            "image",
            "table",
            "region",
            "navigation",
        ];
        let mut seen = 0;
        for node in tree["nodes"].as_array().unwrap() {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            if node["ignored"] == true || !used.contains(&role) {
                continue;
            }
            seen += 1;
            assert!(node["name"]["value"].as_str().is_some_and(|name| !name.trim().is_empty()), "{path}: {node}");
        }
        assert!(seen > 10, "{path}: {seen}");
    }
    browser.quit().await.unwrap();
    fleet.server.stop().await;
}
