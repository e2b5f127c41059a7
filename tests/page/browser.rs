//! A headless Chromium, driven by chromedriver (Debian's `chromium` and `chromium-driver`).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::prelude::*;
use thirtyfour::{BrowserLogEntry, LoggingPrefsLogLevel};

use ferric_tests::process::Process;

/// How long the page may take for what a test waits for.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Chromium in a container, alone: it is to ask nobody but the page's server.
const FLAGS: [&str; 11] = [
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-dev-shm-usage",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "hide-scrollbars",
    "force-device-scale-factor=1",
];

/// A browser with one window.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: WebDriver,
    /// Ended after the driver has been told to quit.
    _chromedriver: Process,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts chromedriver and a browser with a profile of its own.
    ///
    /// # Errors
    /// When one of them does not start.
    pub(crate) async fn start() -> Result<Self> {
        conductor_stub::tls::use_ring();
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut chromedriver = Process::start(Command::new("chromedriver").arg(format!("--port={port}")))?;
        chromedriver.wait_for("started successfully", TIMEOUT)?;
        let profile = tempfile::Builder::new().prefix("ferric-browser-").tempdir()?;
        let mut wanted = DesiredCapabilities::chrome();
        for flag in FLAGS {
            wanted.add_arg(&format!("--{flag}"))?;
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All)?;
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted).await.context("starting Chromium")?;
        Ok(Self { driver, _chromedriver: chromedriver, _profile: profile })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn quit(self) -> Result<()> {
        Ok(self.driver.quit().await?)
    }

    /// The window is so wide and high, in CSS pixels, and the system dark or light.
    ///
    /// # Errors
    /// When the browser refuses.
    pub(crate) async fn look(&self, width: u32, height: u32, scheme: &str) -> Result<()> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await?;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.cdp("Emulation.setEmulatedMedia", features).await?;
        Ok(())
    }

    /// A command of the DevTools protocol.
    ///
    /// # Errors
    /// When the browser refuses.
    pub(crate) async fn cdp(&self, method: &str, parameters: Value) -> Result<Value> {
        Ok(self.driver.cdp().send_raw(method, parameters).await?)
    }

    /// Opens `url`.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub(crate) async fn open(&self, url: &str) -> Result<()> {
        Ok(self.driver.goto(url).await?)
    }

    /// The URL that is shown.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub(crate) async fn url(&self) -> Result<String> {
        Ok(self.driver.current_url().await?.to_string())
    }

    /// Runs `script`, a function's body, and returns what it returns.
    ///
    /// # Errors
    /// When it throws.
    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        let result = self.driver.execute(script, Vec::new()).await.with_context(|| format!("running {script}"))?;
        Ok(result.json().clone())
    }

    /// Waits until `expression` is true in the page.
    ///
    /// # Errors
    /// When it is not in time; the error has the text of the page.
    pub(crate) async fn until(&self, expression: &str) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            if self.run(&format!("return Boolean({expression})")).await? == Value::Bool(true) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("not in time: {expression}\nthe page:\n{}", self.run("return document.body.innerText").await?)
    }

    /// The first element that `selector` (CSS) fits.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn find(&self, selector: &str) -> Result<WebElement> {
        self.driver.find(By::Css(selector)).await.with_context(|| selector.to_owned())
    }

    /// The button with this text.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn button(&self, text: &str) -> Result<WebElement> {
        let path = format!("//button[normalize-space()='{text}']");
        self.driver.find(By::XPath(path.as_str())).await.with_context(|| format!("button {text}"))
    }

    /// Presses keys where the focus is.
    ///
    /// # Errors
    /// When the browser refuses.
    pub(crate) async fn press(&self, keys: impl Into<TypingData>) -> Result<()> {
        Ok(self.driver.action_chain().send_keys(keys).perform().await?)
    }

    /// Fails when the browser has complained of something: an error of a script, a violation of the policy, a file that is
    /// not there. Answers with the codes of `expected` are no complaint.
    ///
    /// # Errors
    /// The complaints.
    pub(crate) async fn is_content(&self, expected: &[&str]) -> Result<()> {
        let log = self.driver.browser_log().await?;
        let bad = |entry: &&BrowserLogEntry| {
            entry.level == "SEVERE" && !expected.iter().any(|known| entry.message.contains(known))
        };
        let complaints: Vec<&str> = log.iter().filter(bad).map(|entry| entry.message.as_str()).collect();
        ensure!(complaints.is_empty(), "{complaints:#?}");
        Ok(())
    }

    /// Writes what the window shows as PNG.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn picture(&self, file: &Path) -> Result<()> {
        Ok(self.driver.screenshot(file).await?)
    }
}
