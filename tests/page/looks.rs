//! How it looks: at every width, light and dark, with one machine and with many.
//!
//! With `FERRIC_PICTURES` (a folder), what was seen is kept there as PNG.

use std::path::Path;

use crate::browser::Browser;
use crate::fleet::Fleet;

const OVERFLOW: &str = "return document.documentElement.scrollWidth > innerWidth";

async fn picture(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("FERRIC_PICTURES") {
        browser.picture(&Path::new(&folder).join(format!("{name}.png"))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_every_window_in_light_and_dark() {
    let browser = Browser::start().await.unwrap();
    for count in [0, 1, 12, 1000] {
        let mut fleet = Fleet::start(count).await.unwrap();
        if count > 3 {
            fleet.live_through(3).unwrap();
            fleet.progress(3, 1_288_490_188);
        }
        for (width, height, scheme) in
            [(1400, 900, "light"), (1400, 900, "dark"), (900, 800, "light"), (360, 740, "dark")]
        {
            browser.look(width, height, scheme).await.unwrap();
            browser.open(&fleet.url("/")).await.unwrap();
            browser.until(&format!("document.querySelectorAll('#machines > li').length === {count} && document.querySelector('#shown').textContent")).await.unwrap();
            browser.until("document.querySelector('#connection').dataset.live === 'yes'").await.unwrap();
            picture(&browser, &format!("list-{count}-{width}-{scheme}")).await;
            assert_eq!(browser.run(OVERFLOW).await.unwrap(), false, "the list of {count} at {width}");
            if count != 12 {
                continue;
            }
            browser.open(&fleet.url("/page/nodes/r01-n04")).await.unwrap();
            browser.until("document.querySelector('#facts').children.length > 4").await.unwrap();
            browser.until("document.querySelector('#console').textContent.includes('sha256')").await.unwrap();
            picture(&browser, &format!("machine-{width}-{scheme}")).await;
            if std::env::var_os("FERRIC_PICTURES").is_some() {
                browser.look(width, 2400, scheme).await.unwrap();
                picture(&browser, &format!("machine-whole-{width}-{scheme}")).await;
            }
            assert_eq!(browser.run(OVERFLOW).await.unwrap(), false, "the machine at {width}");
        }
        browser.is_content(&["status of 404"]).await.unwrap();
        browser.open("about:blank").await.unwrap();
        fleet.server.stop().await;
    }
    browser.quit().await.unwrap();
}
