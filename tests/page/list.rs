//! The list of machines: what it shows, how it is used, and that it stands still while everything changes.

use conductor_stub::media::Making;
use conductor_stub::state::ProvisionState as S;
use serde_json::json;
use thirtyfour::Key;

use crate::browser::Browser;
use crate::fleet::Fleet;

async fn open(fleet: &Fleet, path: &str, lines: usize) -> Browser {
    let browser = Browser::start().await.unwrap();
    browser.look(1400, 900, "light").await.unwrap();
    browser.open(&fleet.url(path)).await.unwrap();
    browser.until(&format!("document.querySelectorAll('#machines > li').length === {lines}")).await.unwrap();
    browser.until("document.querySelector('#connection').dataset.live === 'yes'").await.unwrap();
    browser
}

/// Names in their order.
const NAMES: &str = "[...document.querySelectorAll('#machines .title')].map((title) => title.textContent).join(' ')";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_for_stands_in_the_url() {
    let fleet = Fleet::start(40).await.unwrap();
    let browser = open(&fleet, "/", 40).await;
    assert!(browser.url().await.unwrap().ends_with("/page"), "browsers are led to the page");
    let first = browser.run(&format!("return {NAMES}")).await.unwrap();
    assert!(first.as_str().unwrap().starts_with("r01-n12 r02-n12 "), "failed ones first: {first}");

    browser.press("/").await.unwrap();
    browser.press("r02 wait").await.unwrap();
    browser.until(&format!("{NAMES} === 'r02-n04 r02-n08 r02-n15'")).await.unwrap();
    browser.press(Key::Down + Key::Down).await.unwrap();
    browser.until("document.activeElement.textContent.includes('r02-n08')").await.unwrap();
    browser.press(Key::Up + Key::Up).await.unwrap();
    browser.until("document.activeElement.id === 'query'").await.unwrap();
    browser.press(Key::Escape + "").await.unwrap();
    browser.find("[data-group=busy]").await.unwrap().click().await.unwrap();
    browser.press(Key::Tab + "").await.unwrap();
    browser.until("document.querySelectorAll('#machines > li').length === 8").await.unwrap();
    assert!(browser.url().await.unwrap().ends_with("/page?show=busy"));

    let again = browser.url().await.unwrap() + "&q=erase";
    browser.open(&again).await.unwrap();
    browser.until(&format!("{NAMES} === 'r01-n08 r02-n08'")).await.unwrap();
    assert_eq!(browser.run("return document.querySelector('#query').value").await.unwrap(), "erase");
    let pressed = "document.querySelector('[data-group=busy]').getAttribute('aria-pressed')";
    assert_eq!(browser.run(&format!("return {pressed}")).await.unwrap(), "true");
    let states = "return document.querySelector('[data-group=busy] .detail').textContent";
    let states = browser.run(states).await.unwrap();
    assert!(states.as_str().unwrap().contains("2 clean wait"), "{states}");

    // Below the machines, what is kept for them; their names are text, too.
    let making = Making { origin: "an ISO of <b>two</b> parts".into(), bytes: 3, one_shot: false };
    let made = fleet.server.conductor.media.make(making, |part| {
        std::fs::write(part, "abc").map_err(|error| error.to_string())?;
        Ok(json!(null))
    });
    let made = made.await.unwrap();
    browser.find("#media summary").await.unwrap().click().await.unwrap();
    let columns =
        "[...document.querySelectorAll('#media-files li > span')].map((column) => column.textContent).join('|')";
    browser.until(&format!("{columns} === 'an ISO of <b>two</b> parts|3 B|in use|now'")).await.unwrap();
    browser.until("document.querySelector('#media-sum').textContent.startsWith('3 B of ')").await.unwrap();
    drop(made);
    browser.is_content(&[]).await.unwrap();
    browser.quit().await.unwrap();
    fleet.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn focus_and_place_survive_a_storm_of_events() {
    let mut fleet = Fleet::start(1000).await.unwrap();
    let browser = open(&fleet, "/page", 1000).await;
    // Somebody has gone far down by keyboard, to a machine that is about to fail.
    let uuid = fleet.nodes[704].uuid;
    let line = format!("document.querySelector('[data-key=\"{uuid}\"] a')");
    browser
        .run(&format!(
            "window.shifts = 0; window.mark = {line}; mark.focus(); \
             new PerformanceObserver((list) => list.getEntries().forEach((one) => {{ shifts += one.value }})).observe({{ type: 'layout-shift' }})"
        ))
        .await
        .unwrap();
    browser.until("scrollY > 1000").await.unwrap();
    let before = browser.run("return scrollY").await.unwrap();
    for round in 1..=8_u64 {
        for number in 0..1000 {
            fleet.progress(number, round << 28);
        }
    }
    let last = fleet.nodes[7].uuid;
    let words = format!("document.querySelector('[data-key=\"{last}\"] .words').textContent");
    browser.until(&format!("{words}.includes('2.0 GiB of 4.0 GiB')")).await.unwrap();
    assert_eq!(browser.run("return scrollY").await.unwrap(), before, "nothing above changes its height");
    assert_eq!(browser.run(&format!("return mark === {line} && document.activeElement === mark")).await.unwrap(), true);
    let shifts = browser.run("return shifts").await.unwrap();
    assert!(shifts.as_f64().unwrap() < 0.01, "{shifts}");

    for state in [S::Deleting, S::Error] {
        fleet.enter(704, state).unwrap();
    }
    browser.until(&format!("{line}.textContent.includes('error')")).await.unwrap();
    let first = "document.querySelector('#machines > li a')";
    browser.until(&format!("[...document.querySelectorAll('#machines .chip')].findIndex((chip) => chip.textContent === 'error') < 60 && {first}")).await.unwrap();
    assert_eq!(
        browser.run("return document.activeElement === mark").await.unwrap(),
        true,
        "it moved up, with the focus"
    );
    let failed = "document.querySelector('[data-group=failed] .number').textContent";
    assert_eq!(browser.run(&format!("return {failed}")).await.unwrap(), "51");

    fleet.server.conductor.store.delete_node(uuid).unwrap();
    browser.until("document.querySelectorAll('#machines > li').length === 999").await.unwrap();
    browser.is_content(&[]).await.unwrap();
    browser.quit().await.unwrap();
    fleet.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_from_outside_stays_text() {
    let mut fleet = Fleet::start(2).await.unwrap();
    let evil = "<img src=x onerror=\"window.owned = 1\"><script>window.owned = 2</script>${owned = 3}";
    let node = fleet.node(0).unwrap();
    node.last_error = Some(evil.into());
    node.spec.maintenance = true;
    node.maintenance_reason = Some(evil.into());
    node.spec.description = Some(evil.into());
    let uuid = node.uuid;
    fleet.happens(0, "error", evil, json!(null)).unwrap();
    let disk = json!({"name": evil, "size": evil, "model": [evil], "serial": {"a": evil}});
    let inventory = json!({"inventory": {"disks": [disk], "interfaces": evil, "cpu": evil, "system_vendor": null, "memory": [], "boot": 7}});
    fleet.server.conductor.store.save_inspected(&fleet.nodes[0], &[], &inventory).unwrap();
    let browser = open(&fleet, "/page", 2).await;
    browser.until("document.querySelector('.words').textContent.startsWith('<img src=x')").await.unwrap();
    browser.open(&fleet.url(&format!("/page/nodes/{uuid}"))).await.unwrap();
    browser.until("document.querySelector('#events').textContent.includes('<script>')").await.unwrap();
    browser.until("document.querySelector('#inventory th[scope=row]').textContent.startsWith('<img')").await.unwrap();
    assert_eq!(browser.run("return document.querySelectorAll('img').length").await.unwrap(), 0);
    assert_eq!(browser.run("return typeof window.owned").await.unwrap(), "undefined");
    // The policy holds as well, were text ever to become markup.
    let markup = "try { document.body.innerHTML = '<b>x</b>'; return 'taken' } catch { return 'refused' }";
    assert_eq!(browser.run(markup).await.unwrap(), "refused");
    browser.is_content(&["TrustedHTML"]).await.unwrap();
    browser.quit().await.unwrap();
    fleet.server.stop().await;
}
