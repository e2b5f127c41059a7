//! The differences that are meant, or that come from the place of the test.

use super::compare::Difference;
use super::compare::Kind::{self, OnlyFerric, OnlyIpa, Type, Value};

/// A difference that may be, and must.
#[derive(Debug)]
pub(super) struct Allowed {
    /// Where; `*` stands for any text, `?` for one character.
    place: &'static str,
    kind: Kind,
    /// What Ferric then says, where that is known.
    ferric: Option<&'static str>,
    #[expect(dead_code, reason = "for the reader, and for the message of a failed test")]
    why: &'static str,
}

impl Allowed {
    /// Whether this is that difference.
    pub(super) fn covers(&self, difference: &Difference) -> bool {
        self.kind == difference.kind
            && matches(self.place, &difference.place)
            && self.ferric.is_none_or(|expected| difference.ferric == expected)
    }

    const fn ferric(mut self, says: &'static str) -> Self {
        self.ferric = Some(says);
        self
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut rest) = (pattern.chars(), text.chars());
    match (pattern.next(), rest.next()) {
        (None, None) => true,
        (Some('*'), None) => matches(pattern.as_str(), text),
        (Some('*'), Some(_)) => {
            matches(pattern.as_str(), text) || matches(&format!("*{}", pattern.as_str()), rest.as_str())
        }
        (Some('?'), Some(_)) => matches(pattern.as_str(), rest.as_str()),
        (Some(one), Some(other)) => one == other && matches(pattern.as_str(), rest.as_str()),
        _ => false,
    }
}

const fn allowed(place: &'static str, kind: Kind, why: &'static str) -> Allowed {
    Allowed { place, kind, ferric: None, why }
}

const IS_NO_REQUEST: &str = "better: a document that is no request is the client's error";
const IS_FAILED: &str =
    "better: a sync command with wrong parameters fails; IPA answers 500 to it and to every later list";
const LOCAL: &str = "in a local run, every allowed disk is large enough";
const CATALOGUE: &str = "only steps of the catalogue can be executed; IPA takes the name of any method of a manager";
const WORDS: &str = "details are in our own words";

/// All of them.
pub(super) const DIFFERENCES: &[Allowed] = &[
    // What no two runs have in common, or no two programs.
    allowed("* /body/id", Value, "made at random"),
    allowed("* /body/started_at", Value, "the two start one after the other"),
    allowed("* /body/version", Value, "the version of the program"),
    allowed("to Ironic: /v1/heartbeat/* /body/agent_version", Value, "the version of the program"),
    allowed("to Ironic: /v1/heartbeat/* /body/agent_verify_ca", Value, "every agent makes its own certificate"),
    allowed("*/description", Value, "arguments are explained in our own words"),
    allowed("* /body", Value, "the page of a redirection is in our own words"),
    allowed(
        "POST a command `*` /body/faultstring",
        Value,
        "what is wrong with a document is in the parser's own words",
    ),
    allowed("poll.set_node_info* /body/faultstring", Value, "IPA names itself"),
    allowed("* /body/command_result/system_logs", Value, "an archive of what was logged"),
    allowed("to Ironic: /v1/continue_inspection /body/logs", Value, "an archive of what was logged"),
    allowed("* /body/progress", OnlyFerric, "better: a command says how far it is"),
    allowed("* /certificate/*", Value, "the TLS library signs with the digest of the curve's size")
        .ferric("Signature Algorithm: ecdsa-with-SHA384"),
    allowed("* /certificate/*", Value, "critical where there is no subject; here is one")
        .ferric("X509v3 Subject Alternative Name:"),
    // Inventory.
    allowed("failed inspection /error", Value, WORDS),
    allowed("failed inspection /*", OnlyFerric, "better: what could be collected is sent"),
    allowed(
        "*/disks/_dev_sda/by_path",
        Value,
        "two links lead there; IPA takes the last one it reads, Ferric the one udev calls the path",
    ),
    allowed("*/disks/_dev_sd?", OnlyIpa, "better: paths of a multipath disk are known without multipath tools"),
    allowed("*/disks/_dev_dm-0", OnlyFerric, "better: a multipath disk is known without multipath tools"),
    allowed("*/disks/_dev_sdh/tran", Type, "the captured machine lacks what lsblk looks at for USB"),
    allowed("*/disks/_dev_vd?/tran", Type, "the distribution's lsblk does not know virtio as a transport"),
    allowed("*/memory/physical_mb", Value, "lshw asks the kernel, which is not that of the captured machine"),
    allowed("*/body/usb_devices/0", OnlyFerric, "the captured machine lacks what lshw looks at for USB"),
    allowed("to Ironic: *inspection /body/root_disk/*", Value, LOCAL),
    allowed("to Ironic: *inspection /body/root_disk/*", Type, LOCAL),
    // Refusals.
    allowed("POST a command `*` /status", Value, IS_NO_REQUEST).ferric("400"),
    allowed("POST a command `*` /body/faultcode", Value, IS_NO_REQUEST).ferric("Client"),
    allowed("*, wrong parameters, * /status", Value, IS_FAILED).ferric("200"),
    allowed("*, wrong parameters, * /body/fault*", OnlyIpa, IS_FAILED),
    allowed("*, wrong parameters, * /body/command_*", OnlyFerric, IS_FAILED),
    allowed("*, wrong parameters, * /body/id", OnlyFerric, IS_FAILED),
    allowed("the list after wrong parameters /status", Value, IS_FAILED).ferric("200"),
    allowed("the list after wrong parameters /body/fault*", OnlyIpa, IS_FAILED),
    allowed("the list after wrong parameters /body/commands", OnlyFerric, IS_FAILED),
    allowed("clean.get_clean_steps, no uuid in the node /status", Value, "better: not the extension is missing")
        .ferric("400"),
    allowed(
        "clean.get_clean_steps, no uuid in the node /body/faultstring",
        Value,
        "better: not the extension is missing",
    ),
    allowed("deploy.get_deploy_steps, node null /*", Value, IS_FAILED),
    allowed("flow.start_flow, no parameters /*", Value, IS_FAILED),
    allowed("flow.start_flow, not a list /body/faultstring", Value, "better: IPA takes the letters for commands"),
    // Steps.
    allowed("deploy.execute_deploy_step, erase_pstore /body/command_status", Value, CATALOGUE).ferric("FAILED"),
    allowed("deploy.execute_deploy_step, erase_pstore /body/command_error", Type, CATALOGUE),
    allowed("deploy.execute_deploy_step, erase_pstore /body/command_result", Type, CATALOGUE),
    allowed("the list /body/commands/*", Value, CATALOGUE).ferric("execute_deploy_step FAILED"),
    allowed("clean.execute_clean_step, erase_devices /body/command_error/type", Value, "IPA fails in hdparm already")
        .ferric("BlockDeviceEraseError"),
    allowed(
        "clean.execute_clean_step, erase_devices /body/command_error/message",
        Value,
        "IPA fails in hdparm already",
    ),
    allowed("clean.execute_clean_step, * /body/command_error/details", Value, WORDS),
    allowed("deploy.execute_deploy_step, apply_configuration {*} /body/command_error/details", Value, WORDS),
    allowed(
        "deploy.execute_deploy_step, inject_files * /body/command_error/*",
        Value,
        "better: a file without a path is the caller's error",
    ),
    allowed(
        "deploy.execute_deploy_step, execute_bootc_install {} /body/command_error/details",
        Value,
        "better: only the image must be given",
    ),
    allowed(
        "deploy.execute_deploy_step, write_image without a disk /body/command_error/details",
        Value,
        "better: every disk is named with the reason why it does not fit",
    ),
    allowed(
        "image.install_bootloader, for * /body/command_error/details",
        Value,
        "better: every disk is named with the reason why it does not fit",
    ),
    // Images.
    allowed(
        "standby.prepare_image, an image that is not served /body/command_error/details",
        Value,
        "the server's page stays out of the error",
    ),
    allowed(
        "standby.prepare_image, from a scheme unknown /body/command_error/type",
        Value,
        "better: what failed is the download",
    )
    .ferric("ImageDownloadError"),
    allowed(
        "standby.prepare_image, from a scheme unknown /body/command_error/*",
        Value,
        "better: what failed is the download",
    ),
];
