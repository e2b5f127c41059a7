//! `container/report-failure` as systemd calls it: what it says on consoles and to conductors, by HTTP and TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::Result;
use ferric_tests::certificates::Certificates;
use ferric_tests::conductor::Conductor;
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::process::Process;

/// With a console, an interface and a journal of its own.
const NAMESPACE: &str = "set -e
mount -t tmpfs tmpfs /run
mount --bind \"$FOLDER/active\" /sys/class/tty/console/active
for failure in $(seq \"$FAILURES\"); do
    SERVICE_RESULT=exit-code bash \"$REPORT\" ferric-agent-image.service
done
SERVICE_RESULT=success bash \"$REPORT\" ferric-agent-image.service
SERVICE_RESULT=timeout bash \"$REPORT\" ferric-agent-image.service";
/// What others say may be anything.
const SAID: &str = "Error: \"it's\\back\" \u{fc}ml\u{e4}ut \u{1b}[31m";

struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("bin"))?;
        fs::write(path("console"), "")?;
        fs::write(path("active"), format!("..{}\n", path("console").display()))?;
        fs::write(path("said"), format!("{SAID}\n"))?;
        fs::write(path("bin/journalctl"), format!("#!/bin/sh\nexec cat {}\n", path("said").display()))?;
        fs::set_permissions(path("bin/journalctl"), fs::Permissions::from_mode(0o755))?;
        Ok(Self { folder })
    }

    /// So many failures in a row, then a success and one more.
    fn report(&self, failures: u32, environment: &[(&str, &str)]) -> Result<Output> {
        let report = Path::new(env!("CARGO_MANIFEST_DIR")).join("../container/report-failure");
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH")?);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash", "-c", NAMESPACE]);
        command.env("FOLDER", self.folder.path()).env("REPORT", report).env("PATH", path);
        command.env("FAILURES", failures.to_string()).envs(environment.iter().copied());
        Ok(command.output()?)
    }

    fn console(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("console"))?)
    }
}

#[test]
fn consoles_are_told_at_once_and_conductors_when_it_lasts() -> Result<()> {
    let (lab, conductor) = (Lab::new()?, Conductor::start()?);
    let (url, nobody) =
        (format!("http://127.0.0.1:{}", conductor.port()), format!("http://127.0.0.1:{}", free_port()?));
    let output = lab.report(3, &[("API_URL", &url)])?;
    assert!(output.status.success(), "{output:?}");
    let text = "ferric-agent-image.service: exit-code: Error: \"it's\\back\"   ml  ut  [31m";
    for number in 1..=3 {
        let line = format!("ferric: the agent does not run (failure {number}): {text}\r\n");
        assert!(lab.console()?.contains(&line), "{}", lab.console()?);
    }
    // A success in between starts counting anew.
    assert!(lab.console()?.contains("(failure 1): ferric-agent-image.service: timeout: "), "{}", lab.console()?);
    assert!(conductor.received("/v1/continue_inspection").is_empty());

    // The second conductor is asked when the first does not answer.
    let output = lab.report(14, &[("API_URL", &format!("{nobody},{url}/"))])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("told {nobody}: no answer\ntold {url}/: 202 Accepted\n")), "{said}");
    let reports = conductor.received("/v1/continue_inspection");
    assert_eq!(reports.len(), 2, "{said}");
    assert_eq!(reports[0]["error"], format!("the agent does not run: {text}"));
    assert!(reports[0]["inventory"]["interfaces"].is_array(), "{reports:?}");
    Ok(())
}

#[test]
fn a_conductor_by_tls_is_only_told_when_it_is_believed() -> Result<()> {
    let (lab, conductor, certificates) = (Lab::new()?, Conductor::start()?, Certificates::new()?);
    let port = free_port()?;
    let file = |name: &str| certificates.file(name).display().to_string();
    let configuration = format!(
        "daemon off; pid nginx.pid; error_log stderr; events {{}}\nhttp {{ access_log off;\n\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
         location / {{ proxy_pass http://127.0.0.1:{}; }} }} }}\n",
        file("server.pem"),
        file("server.key"),
        conductor.port()
    );
    fs::write(certificates.file("nginx.conf"), configuration)?;
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(certificates.directory()).arg("-c").arg(certificates.file("nginx.conf"));
    let _nginx = Process::start(&mut nginx)?;
    wait_for_port(port, Duration::from_secs(60))?;

    for (host, environment, told) in [
        ("127.0.0.1", vec![("CAFILE", file("ca.pem"))], true),
        ("localhost", vec![("CAFILE", file("ca.pem"))], true),
        ("127.0.0.1", vec![("INSECURE", "1".to_owned())], true),
        ("127.0.0.1", vec![], false),
        ("localhost.localdomain", vec![("CAFILE", file("ca.pem"))], false),
    ] {
        let before = conductor.received("/v1/continue_inspection").len();
        let url = format!("https://{host}:{port}");
        let mut variables = vec![("API_URL", url.as_str())];
        variables.extend(environment.iter().map(|(name, value)| (*name, value.as_str())));
        let output = lab.report(4, &variables)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = if told { "202 Accepted" } else { "no answer" };
        assert!(said.contains(&format!("told {url}: {expected}\n")), "{environment:?}: {said}");
        assert_eq!(conductor.received("/v1/continue_inspection").len() - before, usize::from(told));
    }
    Ok(())
}
