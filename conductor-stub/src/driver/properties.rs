//! What `driver_info` can say for each hardware type, for people.

/// A key and what it means.
pub type Property = (&'static str, &'static str);

const RAMDISK: [Property; 6] = [
    ("deploy_efi", "URL of the agent's EFI program, or its path below a folder of file_url_allowed_paths. Optional."),
    ("deploy_iso", "URL or path of the agent's ISO. Optional."),
    ("deploy_kernel", "URL or path of the kernel of any ramdisk with an agent. Optional."),
    ("deploy_ramdisk", "URL or path of its initramfs. Optional."),
    ("bootloader", "URL or path of an EFI system partition with a boot loader, for an ISO of these two. Optional."),
    ("kernel_append_params", "Kernel arguments of the ramdisk; %default% stands for the configured ones. Optional."),
];

const FAST_TRACK: Property = ("fast_track", "Whether the ramdisk stays up for what follows. Optional.");

const FAKE: &[Property] = &[
    ("deploy_forces_oob_reboot", "Whether the machine is switched off from outside after a deployment. Optional."),
    FAST_TRACK,
];

const LOCAL_PROCESS: &[Property] = &[
    ("command", "The agent program and its arguments, as a list. Required."),
    ("log", "File for its output, below a folder of file_url_allowed_paths. Optional."),
    ("memory", "Folder that is emptied at each power-on, below a folder of file_url_allowed_paths. Optional."),
    FAST_TRACK,
];

const REDFISH: &[Property] = &[
    ("redfish_address", "The URL of the BMC, such as https://192.0.2.5. Required."),
    (
        "redfish_system_id",
        "Path of the system, such as /redfish/v1/Systems/1. Required when the BMC has several systems.",
    ),
    ("redfish_username", "Name of a user with administrator or operator privileges. Optional."),
    ("redfish_password", "Their password. Optional."),
    (
        "redfish_verify_ca",
        "True, False, or the path of a file or folder with the certificates that the BMC's must fit. Default is True.",
    ),
    ("redfish_auth_type", "auto, session or basic. Default is auto."),
    ("redfish_tls_minimum_version", "1.2 or 1.3. Default is 1.2."),
    ("force_persistent_boot_device", "Always, Default or Never: how long boot overrides last. Default is Default."),
    ("external_http_url", "Where this node's BMC reaches the conductor's files. Optional."),
    ("vmedia_transport_protocol", "HTTP or HTTPS. Optional."),
    ("deploy_forces_oob_reboot", "Whether the machine is switched off from outside after a deployment. Optional."),
    RAMDISK[0],
    RAMDISK[1],
    RAMDISK[2],
    RAMDISK[3],
    RAMDISK[4],
    RAMDISK[5],
    FAST_TRACK,
];

/// The keys of a hardware type.
pub fn of(hardware_type: &str) -> &'static [Property] {
    match hardware_type {
        "redfish" => REDFISH,
        "local-process" => LOCAL_PROCESS,
        _ => FAKE,
    }
}

/// What a disk of `target_raid_config` can be; the agent's RAID interface reads it.
pub const LOGICAL_DISK: &[Property] = &[
    ("raid_level", "RAID level: 0, 1, 1+0, 5 or 6. Required."),
    ("size_gb", "Size in GiB, or MAX for all that is left. Required."),
    ("volume_name", "Name of the volume. Optional."),
    ("controller", "Must be software. Required."),
    ("physical_disks", "Hints for the disks to use. Optional."),
    ("is_root_volume", "Whether the root device is on it. Optional."),
];
