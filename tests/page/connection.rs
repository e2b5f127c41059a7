//! The connection to the conductor: lost and found, and with names and passwords.

use conductor_stub::config::{AuthStrategy, Config};
use conductor_stub::state::ProvisionState as S;

use crate::browser::Browser;
use crate::fleet::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_told_with_its_time_and_comes_back() {
    let fleet = Fleet::start(3).await.unwrap();
    let address = fleet.server.address;
    let browser = Browser::start().await.unwrap();
    browser.open(&fleet.url("/page")).await.unwrap();
    let connection = "document.querySelector('#connection').textContent";
    browser.until(&format!("{connection} === 'Live'")).await.unwrap();
    fleet.server.stop().await;
    browser.until(&format!("/^Not connected since \\d\\d:\\d\\d:\\d\\d$/.test({connection})")).await.unwrap();
    assert_eq!(
        browser.run("return document.querySelectorAll('#machines > li').length").await.unwrap(),
        3,
        "still shown"
    );

    let mut fleet = Fleet::start_at(address, 5, Config::default()).await.unwrap();
    browser.until("document.querySelectorAll('#machines > li').length === 5").await.unwrap();
    browser.until(&format!("{connection} === 'Live'")).await.unwrap();
    fleet.enter(0, S::Deleting).unwrap();
    browser.until("document.querySelector('#machines').textContent.includes('deleting')").await.unwrap();
    browser.is_content(&["stub/events", "stub/nodes"]).await.unwrap();
    browser.quit().await.unwrap();
    fleet.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_with_a_name_and_a_password() {
    let users = tempfile::NamedTempFile::new().unwrap();
    // htpasswd -nbBC 4 admin secret
    std::fs::write(users.path(), "admin:$2y$04$CYvh3Tgkx6rOsGUhjZ1t3OzQdASl1qfd7GaqaKA5smY1K1xvXGI8e\n").unwrap();
    let config = Config {
        auth_strategy: AuthStrategy::HttpBasic,
        http_basic_auth_user_file: users.path().to_owned(),
        ..Config::default()
    };
    let fleet = Fleet::start_with(3, config).await.unwrap();
    let browser = Browser::start().await.unwrap();
    browser.open(&fleet.url("/page")).await.unwrap();
    assert_eq!(
        browser.run("return document.querySelectorAll('#machines').length").await.unwrap(),
        0,
        "nobody is let in"
    );

    browser.open(&format!("http://admin:secret@{}/page", fleet.server.address)).await.unwrap();
    browser.until("document.querySelectorAll('#machines > li').length === 3").await.unwrap();
    browser.until("document.querySelector('#connection').dataset.live === 'yes'").await.unwrap();
    browser.open(&fleet.url("/page/nodes/r01-n03")).await.unwrap();
    browser.until("document.querySelector('#connection').dataset.live === 'yes'").await.unwrap();
    browser.button("Manage").await.unwrap().click().await.unwrap();
    browser.until("document.querySelector('#state').textContent === 'manageable'").await.unwrap();
    browser.is_content(&["status of 401", "status of 404"]).await.unwrap();
    browser.quit().await.unwrap();
    fleet.server.stop().await;
}
