//! Closed sets of names on the wire: each an enum, spelt as Ironic spells it.

use std::fmt;
use std::str::FromStr;

/// A closed set of names on the wire: an enum, its spelling both ways, and its JSON. With strum each spelling would stand
/// twice, for it and for serde.
macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* #[doc = concat!("`", $text, "`")] $variant,)+ }

        impl $name {
            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(UnknownName(text.to_owned())) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A name that is not one of Ironic's.
#[derive(Debug, Clone, thiserror::Error)]
#[error("unknown name \"{0}\"")]
pub struct UnknownName(pub String);

names! {
    /// Where a node is in its life.
    ProvisionState {
        Enroll = "enroll",
        Verifying = "verifying",
        Manageable = "manageable",
        Inspecting = "inspecting",
        InspectWait = "inspect wait",
        InspectFailed = "inspect failed",
        Cleaning = "cleaning",
        CleanWait = "clean wait",
        CleanFailed = "clean failed",
        CleanHold = "clean hold",
        Available = "available",
        Deploying = "deploying",
        WaitCallBack = "wait call-back",
        DeployFailed = "deploy failed",
        DeployHold = "deploy hold",
        Active = "active",
        Deleting = "deleting",
        Error = "error",
        Rescuing = "rescuing",
        RescueWait = "rescue wait",
        RescueFailed = "rescue failed",
        Rescue = "rescue",
        Unrescuing = "unrescuing",
        UnrescueFailed = "unrescue failed",
        Servicing = "servicing",
        ServiceWait = "service wait",
        ServiceFailed = "service failed",
        ServiceHold = "service hold",
        Adopting = "adopting",
        AdoptFailed = "adopt failed",
    }
}

names! {
    /// Whether the machine is switched on.
    PowerState {
        On = "power on",
        Off = "power off",
    }
}

names! {
    /// What a client can ask of a node's power (`PUT …/states/power`).
    PowerTarget {
        On = "power on",
        Off = "power off",
        Rebooting = "rebooting",
        SoftOff = "soft power off",
        SoftRebooting = "soft rebooting",
    }
}

names! {
    /// What a machine boots, as clients choose it.
    BootDevice {
        Pxe = "pxe",
        Disk = "disk",
        Cdrom = "cdrom",
        Bios = "bios",
        UefiHttp = "uefihttp",
    }
}

names! {
    /// How firmware boots.
    BootMode {
        Uefi = "uefi",
        Bios = "bios",
    }
}

names! {
    /// What moves a node from one state to the next; the first block are the verbs of the API.
    Event {
        Manage = "manage",
        Inspect = "inspect",
        Provide = "provide",
        Clean = "clean",
        Deploy = "deploy",
        Rebuild = "rebuild",
        Delete = "delete",
        Abort = "abort",
        Adopt = "adopt",
        Rescue = "rescue",
        Unrescue = "unrescue",
        Service = "service",
        Unhold = "unhold",
        Wait = "wait",
        Resume = "resume",
        Done = "done",
        Fail = "fail",
    }
}

names! {
    /// What a state means to somebody who looks after many machines.
    Phase {
        Failed = "failed",
        Working = "working",
        Waiting = "waiting",
        Held = "held",
        Stable = "stable",
    }
}

names! {
    /// What leads from one stable state to the next.
    Flow {
        Verify = "verify",
        Inspect = "inspect",
        Clean = "clean",
        Deploy = "deploy",
        Undeploy = "undeploy",
        Rescue = "rescue",
        Unrescue = "unrescue",
        Service = "service",
        Adopt = "adopt",
    }
}

names! {
    /// How a flow ends.
    FlowEnd {
        Done = "done",
        Failed = "failed",
        Aborted = "aborted",
    }
}
