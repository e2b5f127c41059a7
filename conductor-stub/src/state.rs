//! The provision state machine: Ironic's names, verbs and transitions (ironic/common/states.py, state_machine.py).
//!
//! - [`names`]: what things are called; below it, what leads from where to where, and what is true of a state

pub mod names;

pub use names::{
    BootDevice, BootMode, Event, Flow, FlowEnd, Phase, PowerState, PowerTarget, ProvisionState, UnknownName,
};

impl Event {
    /// How a flow ends that ends by this.
    pub fn end(self) -> FlowEnd {
        match self {
            Self::Fail => FlowEnd::Failed,
            Self::Abort => FlowEnd::Aborted,
            _ => FlowEnd::Done,
        }
    }

    /// The API's word for this event, if clients may ask for it.
    pub fn verb(self) -> Option<&'static str> {
        match self {
            Self::Deploy => Some("active"),
            Self::Delete => Some("deleted"),
            Self::Done | Self::Fail | Self::Wait | Self::Resume => None,
            other => Some(other.as_str()),
        }
    }

    /// The event behind an API verb; `active` and `deleted` are the API's words for deploy and delete.
    pub fn from_verb(verb: &str) -> Option<Self> {
        match verb {
            "active" => Some(Self::Deploy),
            "deleted" | "undeploy" => Some(Self::Delete),
            "done" | "fail" | "wait" | "resume" => None,
            other => other.parse().ok(),
        }
    }
}

use Event as E;
use ProvisionState as S;

/// From, by, to.
pub const TRANSITIONS: &[(S, E, S)] = &[
    (S::Enroll, E::Manage, S::Verifying),
    (S::Verifying, E::Done, S::Manageable),
    (S::Verifying, E::Fail, S::Enroll),
    (S::Manageable, E::Inspect, S::Inspecting),
    (S::Manageable, E::Provide, S::Cleaning),
    (S::Manageable, E::Clean, S::Cleaning),
    (S::Manageable, E::Adopt, S::Adopting),
    (S::Inspecting, E::Done, S::Manageable),
    (S::Inspecting, E::Wait, S::InspectWait),
    (S::Inspecting, E::Fail, S::InspectFailed),
    (S::InspectWait, E::Resume, S::Inspecting),
    (S::InspectWait, E::Done, S::Manageable),
    (S::InspectWait, E::Fail, S::InspectFailed),
    (S::InspectWait, E::Abort, S::InspectFailed),
    (S::InspectFailed, E::Manage, S::Manageable),
    (S::InspectFailed, E::Inspect, S::Inspecting),
    (S::Cleaning, E::Wait, S::CleanWait),
    (S::Cleaning, E::Done, S::Available),
    (S::Cleaning, E::Manage, S::Manageable),
    (S::Cleaning, E::Fail, S::CleanFailed),
    (S::CleanWait, E::Resume, S::Cleaning),
    (S::CleanWait, E::Fail, S::CleanFailed),
    (S::CleanWait, E::Abort, S::CleanFailed),
    (S::CleanHold, E::Unhold, S::CleanWait),
    (S::CleanHold, E::Abort, S::CleanFailed),
    (S::CleanFailed, E::Manage, S::Manageable),
    (S::Available, E::Deploy, S::Deploying),
    (S::Available, E::Manage, S::Manageable),
    (S::Deploying, E::Wait, S::WaitCallBack),
    (S::Deploying, E::Done, S::Active),
    (S::Deploying, E::Fail, S::DeployFailed),
    (S::WaitCallBack, E::Resume, S::Deploying),
    (S::WaitCallBack, E::Fail, S::DeployFailed),
    (S::WaitCallBack, E::Abort, S::DeployFailed),
    (S::WaitCallBack, E::Delete, S::Deleting),
    (S::DeployHold, E::Unhold, S::WaitCallBack),
    (S::DeployHold, E::Abort, S::DeployFailed),
    (S::DeployFailed, E::Rebuild, S::Deploying),
    (S::DeployFailed, E::Deploy, S::Deploying),
    (S::DeployFailed, E::Delete, S::Deleting),
    (S::Active, E::Rebuild, S::Deploying),
    (S::Active, E::Delete, S::Deleting),
    (S::Active, E::Rescue, S::Rescuing),
    (S::Active, E::Service, S::Servicing),
    (S::Deleting, E::Clean, S::Cleaning),
    (S::Deleting, E::Fail, S::Error),
    (S::Error, E::Rebuild, S::Deploying),
    (S::Error, E::Delete, S::Deleting),
    (S::Rescuing, E::Wait, S::RescueWait),
    (S::Rescuing, E::Done, S::Rescue),
    (S::Rescuing, E::Fail, S::RescueFailed),
    (S::RescueWait, E::Resume, S::Rescuing),
    (S::RescueWait, E::Fail, S::RescueFailed),
    (S::RescueWait, E::Abort, S::RescueFailed),
    (S::RescueWait, E::Delete, S::Deleting),
    (S::Rescue, E::Rescue, S::Rescuing),
    (S::Rescue, E::Unrescue, S::Unrescuing),
    (S::Rescue, E::Delete, S::Deleting),
    (S::RescueFailed, E::Rescue, S::Rescuing),
    (S::RescueFailed, E::Unrescue, S::Unrescuing),
    (S::RescueFailed, E::Delete, S::Deleting),
    (S::Unrescuing, E::Done, S::Active),
    (S::Unrescuing, E::Fail, S::UnrescueFailed),
    (S::UnrescueFailed, E::Rescue, S::Rescuing),
    (S::UnrescueFailed, E::Unrescue, S::Unrescuing),
    (S::UnrescueFailed, E::Delete, S::Deleting),
    (S::Servicing, E::Wait, S::ServiceWait),
    (S::Servicing, E::Done, S::Active),
    (S::Servicing, E::Fail, S::ServiceFailed),
    (S::ServiceWait, E::Resume, S::Servicing),
    (S::ServiceWait, E::Fail, S::ServiceFailed),
    (S::ServiceWait, E::Abort, S::ServiceFailed),
    (S::ServiceWait, E::Delete, S::Deleting),
    (S::ServiceHold, E::Service, S::Servicing),
    (S::ServiceHold, E::Unhold, S::ServiceWait),
    (S::ServiceHold, E::Abort, S::ServiceFailed),
    (S::ServiceFailed, E::Service, S::Servicing),
    (S::ServiceFailed, E::Rescue, S::Rescuing),
    (S::ServiceFailed, E::Delete, S::Deleting),
    (S::ServiceFailed, E::Abort, S::Active),
    (S::Adopting, E::Done, S::Active),
    (S::Adopting, E::Fail, S::AdoptFailed),
    (S::AdoptFailed, E::Adopt, S::Adopting),
    (S::AdoptFailed, E::Manage, S::Manageable),
];

/// An event that leads nowhere from where the node is.
#[derive(Debug, Clone, thiserror::Error)]
#[error("there is no way from {from} by {event}")]
pub struct NoTransition {
    /// Where the node is.
    pub from: ProvisionState,
    /// What was to move it.
    pub event: Event,
}

impl ProvisionState {
    /// The state that `event` leads to.
    ///
    /// # Errors
    /// When it is not allowed here.
    pub fn follow(self, event: Event) -> Result<Self, NoTransition> {
        self.after(event).ok_or(NoTransition { from: self, event })
    }

    /// The state that `event` leads to, if it is allowed here.
    pub fn after(self, event: Event) -> Option<Self> {
        TRANSITIONS.iter().find(|(from, with, _)| *from == self && *with == event).map(|(_, _, to)| *to)
    }

    /// What `target_provision_state` shows while this state lasts; none in stable states.
    /// Manual cleaning, which ends in `manageable`, is the caller's to know.
    pub fn target(self) -> Option<Self> {
        match self {
            S::Verifying | S::Inspecting | S::InspectWait | S::InspectFailed => Some(S::Manageable),
            S::Cleaning | S::CleanWait | S::CleanHold | S::Deleting => Some(S::Available),
            S::Deploying | S::WaitCallBack | S::DeployFailed | S::DeployHold => Some(S::Active),
            S::Servicing | S::ServiceWait | S::ServiceFailed | S::ServiceHold | S::Adopting | S::AdoptFailed => {
                Some(S::Active)
            }
            S::Rescuing | S::RescueWait | S::RescueFailed => Some(S::Rescue),
            S::Unrescuing | S::UnrescueFailed => Some(S::Active),
            _ => None,
        }
    }

    /// Whether a node stays here until somebody asks for something.
    pub fn is_at_rest(self) -> bool {
        self.target().is_none() || self.has_failed()
    }

    /// What is going on here, roughly.
    pub fn phase(self) -> Phase {
        match self {
            state if state.has_failed() => Phase::Failed,
            state if Self::WORKING.contains(&state) => Phase::Working,
            state if Self::WAITING.contains(&state) => Phase::Waiting,
            S::CleanHold | S::DeployHold | S::ServiceHold => Phase::Held,
            _ => Phase::Stable,
        }
    }

    /// What a node that goes from a stable state to this one is up to.
    pub fn flow(self) -> Option<Flow> {
        match self {
            S::Verifying => Some(Flow::Verify),
            S::Inspecting | S::InspectWait => Some(Flow::Inspect),
            S::Cleaning | S::CleanWait | S::CleanHold => Some(Flow::Clean),
            S::Deploying | S::WaitCallBack | S::DeployHold => Some(Flow::Deploy),
            S::Deleting => Some(Flow::Undeploy),
            S::Rescuing | S::RescueWait => Some(Flow::Rescue),
            S::Unrescuing => Some(Flow::Unrescue),
            S::Servicing | S::ServiceWait | S::ServiceHold => Some(Flow::Service),
            S::Adopting => Some(Flow::Adopt),
            _ => None,
        }
    }

    /// Whether an operation ended here without getting where it was going.
    pub fn has_failed(self) -> bool {
        matches!(
            self,
            S::InspectFailed
                | S::CleanFailed
                | S::DeployFailed
                | S::RescueFailed
                | S::UnrescueFailed
                | S::ServiceFailed
                | S::AdoptFailed
                | S::Error
        )
    }

    /// Whether an agent may look this node up.
    pub fn allows_lookup(self) -> bool {
        matches!(
            self,
            S::Deploying
                | S::WaitCallBack
                | S::Cleaning
                | S::CleanWait
                | S::Inspecting
                | S::InspectWait
                | S::Rescuing
                | S::RescueWait
                | S::ServiceWait
        )
    }

    /// Whether the conductor waits here for a heartbeat to go on.
    pub fn awaits_heartbeat(self) -> bool {
        matches!(self, S::WaitCallBack | S::CleanWait | S::RescueWait | S::ServiceWait)
    }

    /// Where a conductor waits for an agent.
    pub const WAITING: [Self; 5] = [S::WaitCallBack, S::CleanWait, S::RescueWait, S::ServiceWait, S::InspectWait];

    /// Where a conductor is at work.
    pub const WORKING: [Self; 9] = [
        S::Verifying,
        S::Adopting,
        S::Inspecting,
        S::Cleaning,
        S::Deploying,
        S::Deleting,
        S::Rescuing,
        S::Unrescuing,
        S::Servicing,
    ];

    /// Whether the conductor or the agent is at work here.
    pub fn is_unstable(self) -> bool {
        Self::WORKING.contains(&self) || self.awaits_heartbeat() || self == S::InspectWait
    }

    /// Whether a node on its way somewhere may be changed by clients all the same.
    pub fn allows_update(self) -> bool {
        matches!(
            self,
            S::DeployFailed
                | S::Inspecting
                | S::InspectFailed
                | S::InspectWait
                | S::CleanFailed
                | S::Error
                | S::Verifying
                | S::AdoptFailed
                | S::RescueFailed
                | S::UnrescueFailed
                | S::ServiceHold
                | S::ServiceFailed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_lead_where_ironic_says() {
        for (from, verb, to) in [
            ("enroll", "manage", Some("verifying")),
            ("manageable", "inspect", Some("inspecting")),
            ("manageable", "provide", Some("cleaning")),
            ("available", "active", Some("deploying")),
            ("active", "undeploy", Some("deleting")),
            ("active", "deleted", Some("deleting")),
            ("wait call-back", "abort", Some("deploy failed")),
            ("clean failed", "manage", Some("manageable")),
            ("enroll", "active", None),
            ("active", "provide", None),
        ] {
            let from: ProvisionState = from.parse().unwrap();
            let event = Event::from_verb(verb).unwrap();
            assert_eq!(from.after(event).map(ProvisionState::as_str), to, "{from} {verb}");
        }
    }

    #[test]
    fn a_client_cannot_claim_that_work_is_done() {
        assert!(Event::from_verb("done").is_none());
        assert!(Event::from_verb("nonsense").is_none());
    }

    #[test]
    fn verbs_are_read_as_they_are_written() {
        for (_, event, _) in TRANSITIONS {
            assert_eq!(event.verb().and_then(Event::from_verb), event.verb().map(|_| *event), "{event}");
        }
    }

    #[test]
    fn a_node_is_at_rest_or_in_a_flow() {
        for (from, _, to) in TRANSITIONS {
            for state in [from, to] {
                assert_eq!(state.is_at_rest(), state.flow().is_none(), "{state}");
                assert_eq!(state.is_at_rest(), matches!(state.phase(), Phase::Stable | Phase::Failed), "{state}");
            }
        }
    }

    #[test]
    fn every_working_state_can_fail() {
        for (_, _, state) in TRANSITIONS.iter().filter(|(_, _, to)| ProvisionState::WORKING.contains(to)) {
            assert!(state.after(Event::Fail).is_some(), "{state}");
        }
    }
}
