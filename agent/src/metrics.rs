//! Metrics to a statsd server, when `[metrics] backend = statsd`: IPA's timers of the API, and what the commands do.
//!
//! A metric is one UDP datagram, `NAME:VALUE|TYPE`. None is waited for, and nobody hears of one that is lost.

use std::sync::Arc;
use std::time::Duration;

use ferric_hardware::machine::Machine;
use ferric_steps::progress::Progress;
use tokio::net::{UdpSocket, lookup_host};
use tracing::debug;

use crate::agent::Agent;
use crate::config::settings::Metrics;

/// In front of every name, after the configured prefixes.
const NAMESPACE: &str = "ironic_python_agent";

/// How often the progress of a running command is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// A value and what it is.
#[derive(Debug, Clone, Copy)]
enum Value {
    Timer(Duration),
    Gauge(u64),
    Counter(u64),
}

/// Tells how long `name` took.
pub fn timer(agent: &Agent, name: &str, took: Duration) {
    send(agent, name, Value::Timer(took));
}

/// Tells that `name` has happened once more.
pub fn count(agent: &Agent, name: &str) {
    send(agent, name, Value::Counter(1));
}

/// Tells again and again how many bytes the command `name` has done, until this is dropped.
pub async fn follow(agent: Arc<Agent>, name: &'static str, progress: Progress) {
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        if let Some(now) = progress.snapshot() {
            send(&agent, &format!("command.{name}.done_bytes"), Value::Gauge(now.done_bytes));
        }
    }
}

fn send(agent: &Agent, name: &str, value: Value) {
    let settings = agent.settings();
    if !settings.metrics.statsd {
        return;
    }
    let metric = line(&settings.metrics, &agent.machine, name, value);
    tokio::spawn(async move {
        if let Err(error) = deliver(&settings.metrics, &metric).await {
            debug!(%error, "a metric was not sent");
        }
    });
}

async fn deliver(metrics: &Metrics, metric: &str) -> std::io::Result<()> {
    let target =
        lookup_host((metrics.host.as_str(), metrics.port)).await?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    UdpSocket::bind(any).await?.send_to(metric.as_bytes(), target).await.map(drop)
}

/// `[global_prefix.][host.]ironic_python_agent.NAME:VALUE|TYPE`
fn line(metrics: &Metrics, machine: &Machine, name: &str, value: Value) -> String {
    let host = metrics.prepend_host.then(|| machine.read("/proc/sys/kernel/hostname")).flatten();
    let host = host.map(|host| match metrics.reverse_host {
        true => host.split('.').rev().collect::<Vec<_>>().join("."),
        false => host,
    });
    let prefix = metrics.prefix.clone();
    let parts = [prefix, host, Some(NAMESPACE.to_string()), Some(name.to_string())];
    let name = parts.into_iter().flatten().collect::<Vec<_>>().join(".");
    match value {
        Value::Timer(took) => format!("{name}:{:.3}|ms", took.as_secs_f64() * 1000.0),
        Value::Gauge(value) => format!("{name}:{value}|g"),
        Value::Counter(value) => format!("{name}:{value}|c"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn names_carry_the_configured_prefixes() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        std::fs::write(root.path().join("proc/sys/kernel/hostname"), "node-1.example.com\n").unwrap();
        let machine = Machine::at(root.path());
        let mut metrics = Config::with_defaults().settings().metrics;
        let timer = Value::Timer(Duration::from_micros(1500));
        assert_eq!(line(&metrics, &machine, "a", timer), "ironic_python_agent.a:1.500|ms");
        metrics.prefix = Some("site".to_string());
        metrics.prepend_host = true;
        let name = "site.com.example.node-1.ironic_python_agent.a";
        assert_eq!(line(&metrics, &machine, "a", Value::Gauge(7)), format!("{name}:7|g"));
        metrics.reverse_host = false;
        let name = "site.node-1.example.com.ironic_python_agent.a";
        assert_eq!(line(&metrics, &machine, "a", Value::Counter(1)), format!("{name}:1|c"));
    }
}
