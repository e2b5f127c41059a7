//! Figures for Prometheus, in the OpenMetrics text format. Every label has few values: none comes from a client, a machine
//! or a BMC.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::state::{Flow, FlowEnd, ProvisionState, TRANSITIONS};
use crate::store::{Store, StoreError};

/// What this is served as.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of requests, seconds.
const OF_REQUESTS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Bounds of flows, seconds: from a simulated machine to one with slow firmware and many disks.
const OF_FLOWS: [f64; 12] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 14400.0, 86400.0];

/// How a request to a BMC ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedfishEnd {
    /// With what was asked for.
    Ok,
    /// 4xx.
    Refused,
    /// 5xx.
    Failed,
    /// Without an answer that is one.
    Unreachable,
}

impl RedfishEnd {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    provision_state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFlow {
    flow: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    method: &'static str,
    route: String,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRedfish {
    method: &'static str,
    outcome: &'static str,
}

/// A family of histograms with bounds of its own.
type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// Requests to BMCs.
#[derive(Debug, Clone, Default)]
pub struct RedfishRequests(Family<OfRedfish, Counter>);

impl RedfishRequests {
    /// One more.
    pub fn count(&self, method: &str, end: RedfishEnd) {
        self.0.get_or_create(&OfRedfish { method: known_method(method), outcome: end.as_str() }).inc();
    }
}

/// The figures of one conductor.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    nodes: Family<OfState, Gauge>,
    readers: Gauge,
    flows: Durations<OfFlow>,
    requests: Durations<OfRequest>,
    heartbeats: Counter,
    artefact_bytes: Counter,
    /// Requests to BMCs.
    pub redfish: RedfishRequests,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("conductor"),
            nodes: Family::default(),
            readers: Gauge::default(),
            flows: Family::new_with_constructor(|| Histogram::new(OF_FLOWS)),
            requests: Family::new_with_constructor(|| Histogram::new(OF_REQUESTS)),
            heartbeats: Counter::default(),
            artefact_bytes: Counter::default(),
            redfish: RedfishRequests::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("nodes", "Nodes by provision state", metrics.nodes.clone());
        registry.register("event_readers", "Open streams of events and consoles", metrics.readers.clone());
        registry.register_with_unit(
            "flow_duration",
            "Time from one stable state to the next, by flow and outcome",
            Unit::Seconds,
            metrics.flows.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time until the head of an answer, by route and code",
            Unit::Seconds,
            metrics.requests.clone(),
        );
        registry.register("heartbeats", "Heartbeats of agents that were accepted", metrics.heartbeats.clone());
        registry.register_with_unit(
            "artefact",
            "Bytes of artefacts handed to the network",
            Unit::Bytes,
            metrics.artefact_bytes.clone(),
        );
        registry.register("redfish_requests", "Requests to BMCs, by method and outcome", metrics.redfish.0.clone());
        registry.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        metrics
    }
}

impl Metrics {
    /// A flow has ended.
    pub fn flow(&self, flow: Flow, end: FlowEnd, took_seconds: f64) {
        self.flows.get_or_create(&OfFlow { flow: flow.as_str(), outcome: end.as_str() }).observe(took_seconds.max(0.0));
    }

    /// A request was answered; `route` is a template, such as `/v1/nodes/{node}`.
    pub fn request(&self, method: &str, route: Option<&str>, code: u16, took: Duration) {
        let route = route.unwrap_or("none").to_owned();
        let labels = OfRequest { method: known_method(method), route, code };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A heartbeat was accepted.
    pub fn heartbeat(&self) {
        self.heartbeats.inc();
    }

    /// Counts bytes of artefacts.
    pub fn artefact_bytes(&self) -> Counter {
        self.artefact_bytes.clone()
    }

    /// All of it, with what `store` knows now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn text(&self, store: &Store) -> Result<String, StoreError> {
        self.readers.set(i64::try_from(store.events().readers()).unwrap_or(i64::MAX));
        let gauge =
            |state: ProvisionState| self.nodes.get_or_create_owned(&OfState { provision_state: state.as_str() });
        let counts = store.count_by_state()?;
        for state in TRANSITIONS.iter().flat_map(|(from, _, to)| [*from, *to]) {
            let count = counts.iter().find(|(name, _)| name == state.as_str()).map_or(0, |(_, count)| *count);
            gauge(state).set(count);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        Ok(text)
    }
}

/// A method that there is; clients may send any.
fn known_method(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|known| *known == method).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::node::{Node, Spec};

    #[test]
    fn figures_have_few_labels() {
        let (metrics, store) = (Metrics::default(), Store::in_memory().unwrap());
        store.save_node(&Node::new(Uuid::new_v4(), Spec::default()), &[]).unwrap();
        metrics.flow(Flow::Deploy, FlowEnd::Failed, 12.0);
        metrics.request("GET", Some("/v1/nodes/{node}"), 404, Duration::from_millis(2));
        metrics.request("BREW", None, 405, Duration::ZERO);
        metrics.artefact_bytes().inc_by(7);
        metrics.heartbeat();
        metrics.redfish.count("PATCH", RedfishEnd::Unreachable);
        let text = metrics.text(&store).unwrap();
        for line in [
            "conductor_nodes{provision_state=\"enroll\"} 1",
            "conductor_nodes{provision_state=\"deploy failed\"} 0",
            "conductor_flow_duration_seconds_bucket{le=\"15.0\",flow=\"deploy\",outcome=\"failed\"} 1",
            "conductor_request_duration_seconds_count{method=\"GET\",route=\"/v1/nodes/{node}\",code=\"404\"} 1",
            "conductor_request_duration_seconds_count{method=\"other\",route=\"none\",code=\"405\"} 1",
            "conductor_artefact_bytes_total 7",
            "conductor_heartbeats_total 1",
            "conductor_redfish_requests_total{method=\"PATCH\",outcome=\"unreachable\"} 1",
            "conductor_event_readers 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }
}
