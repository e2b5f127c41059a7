"""Drives `conductor-stub bmc` with sushy, Ironic's own Redfish client.

usage: sushy_client.py URL IMAGE_URL

The BMC has one machine that takes time to be switched. Prints `all done` in the end.
"""

import json
import sys
import time
import urllib.request

import sushy
from sushy import auth, exceptions

url, image = sys.argv[1:]


def connect(login, password="secret"):
    # The client's own patience is switched off where an error is expected.
    return sushy.Sushy(url, auth=login("admin", password), verify=False, server_side_retries=0)


def fault(**what):
    basic = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    basic.add_password(None, url, "admin", "secret")
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(basic))
    opener.open(f"{url}/faults", json.dumps([what]).encode()).read()


def wait_for_power(system, wanted):
    """Every state on the way, until `wanted` is reached."""
    seen = []
    while wanted not in seen:
        system.refresh(force=True)
        if system.power_state not in seen:
            seen.append(system.power_state)
        time.sleep(0.02)
    return seen


def refused(error, work, *words):
    try:
        work()
    except error as reason:
        assert all(word in str(reason) for word in words), reason
        return
    raise AssertionError(f"not refused: {words}")


for login in (auth.SessionAuth, auth.BasicAuth, auth.SessionOrBasicAuth):
    connector = connect(login)
    (path,) = connector.get_system_collection().members_identities
    connector.get_system(path)
refused(exceptions.AccessError, lambda: connect(auth.SessionAuth, "wrong"))
refused(exceptions.AccessError, lambda: connect(auth.BasicAuth, "wrong").get_system_collection())

# Inventory: whatever Ironic looks at.
system = connector.get_system(path)
assert system.uuid == path.rsplit("/", 1)[1] and system.manufacturer == "Ferric", system.json
assert system.boot.allowed_values == ["None", "Pxe", "Cd", "Usb", "Hdd", "UefiHttp"], system.boot
(manager,) = connector.get_manager_collection().get_members()
assert system.managers[0].path == manager.path and manager.systems[0].path == path
assert connector.get_chassis_collection().get_members()[0].path == system.chassis[0].path
assert system.ethernet_interfaces.summary == {"52:54:00:AA:BB:01": sushy.STATE_ENABLED} or (
    system.ethernet_interfaces.summary == {"52:54:00:aa:bb:01": sushy.STATE_ENABLED}
), system.ethernet_interfaces.summary

# What out-of-band inspection looks at.
assert system.processors.summary == (1, "x86 or x86-64") or system.processors.summary[0] == 1, system.processors.summary
assert system.memory_summary.size_gib == 1.0, system.json["MemorySummary"]
(storage,) = system.storage.get_members()
assert storage.drives == [], storage.json

# Firmware settings wait for the next start, in a task; Secure Boot too.
assert system.bios.attributes == {"Cores": 1, "BootMode": "Uefi", "AssetTag": ""}, system.bios.attributes
names = {entry.name for entry in system.bios.get_attribute_registry().registry_entries.attributes}
assert names == {"Cores", "BootMode", "AssetTag"}, names
system.bios.set_attributes({"Cores": 2})
refused(exceptions.HTTPError, lambda: system.bios.set_attributes({"Cores": 99}), "no such attribute or value")
assert system.bios.pending_attributes == {"Cores": 2}, system.bios.pending_attributes
(task,) = connector.get_task_service().tasks.get_members()
assert task.json["TaskState"] == "Pending", task.json
system.secure_boot.set_enabled(True)

# Power takes its time, and says so.
assert system.power_state == sushy.POWER_STATE_OFF
system.set_system_boot_options(
    target=sushy.BOOT_SOURCE_TARGET_UEFI_HTTP,
    enabled=sushy.BOOT_SOURCE_ENABLED_ONCE,
    http_boot_uri="http://192.0.2.1/agent.efi",
)
system.refresh(force=True)
assert system.boot.target == sushy.BOOT_SOURCE_TARGET_UEFI_HTTP, system.boot
assert system.json["Boot"]["HttpBootUri"] == "http://192.0.2.1/agent.efi", system.json["Boot"]
system.reset_system(sushy.RESET_ON)
assert wait_for_power(system, sushy.POWER_STATE_ON)[0] == sushy.POWER_STATE_POWERING_ON
system.bios.refresh(force=True)
assert system.bios.attributes["Cores"] == 2, system.bios.attributes
task.refresh(force=True)
assert task.json["TaskState"] == "Completed", task.json
system.secure_boot.refresh(force=True)
assert system.secure_boot.current_boot.value == "Enabled", system.secure_boot.json
assert system.boot.enabled == sushy.BOOT_SOURCE_ENABLED_DISABLED, "Once is used up by the start"
system.set_system_boot_options(target=sushy.BOOT_SOURCE_TARGET_NONE, mode=sushy.BOOT_SOURCE_MODE_BIOS)
refused(
    exceptions.HTTPError,
    lambda: system.set_system_boot_options(target=sushy.BOOT_SOURCE_TARGET_UEFI_HTTP),
    "UefiHttp needs the mode UEFI",
)
system.set_system_boot_options(mode=sushy.BOOT_SOURCE_MODE_UEFI)
system.reset_system(sushy.RESET_FORCE_RESTART)
refused(exceptions.HTTPError, lambda: system.reset_system(sushy.RESET_ON), "under way")
wait_for_power(system, sushy.POWER_STATE_ON)
system.reset_system(sushy.RESET_FORCE_OFF)
assert wait_for_power(system, sushy.POWER_STATE_OFF)[0] == sushy.POWER_STATE_POWERING_OFF
system.set_system_boot_options(target=sushy.BOOT_SOURCE_TARGET_HDD, enabled=sushy.BOOT_SOURCE_ENABLED_CONTINUOUS)
system.refresh(force=True)
assert (system.boot.target, system.json["Boot"]["HttpBootUri"]) == (sushy.BOOT_SOURCE_TARGET_HDD, None)

# Virtual media, by way of the system and of its manager.
drive, stick = system.virtual_media.get_members()
assert manager.virtual_media.get_members()[0].path == drive.path
assert sushy.VIRTUAL_MEDIA_USBSTICK in stick.media_types
assert sushy.VIRTUAL_MEDIA_CD in drive.media_types and not drive.inserted
drive.insert_media(image)
drive.refresh(force=True)
assert drive.inserted and drive.image == image and drive.image_name == "live.iso", drive.json
refused(exceptions.HTTPError, lambda: drive.insert_media(image), "eject it first")
drive.eject_media()
drive.refresh(force=True)
assert not drive.inserted

# A BMC that makes a task of it.
fault(path="InsertMedia", task_ms=1500)
done = connector._conn.post(f"{drive.path}/Actions/VirtualMedia.InsertMedia", data={"Image": image}, blocking=True)
drive.refresh(force=True)
assert done.status_code == 204 and drive.inserted, (done, drive.json)
drive.eject_media()

# Faults.
fault(path="InsertMedia", status=400, message="no such image")
refused(exceptions.BadRequestError, lambda: drive.insert_media(image), "no such image")
fault(path=path, method="GET", status=503, message="busy")
refused(exceptions.ServerSideError, lambda: system.refresh(force=True))
refused(exceptions.ResourceNotFoundError, lambda: connector.get_system(f"{path}x"))
drive.refresh(force=True)
assert not drive.inserted

# Firmware updates, whose image must be there.
update = connector.get_update_service()
monitor = update.simple_update("http://127.0.0.1:9/none.bin", targets=[path])
refused(exceptions.ServerSideError, lambda: monitor.wait(30), "Cannot download")

# Events, sent to whom has asked.
events = connector.get_event_service()
subscription = connector._conn.post(
    "/redfish/v1/EventService/Subscriptions", data={"Destination": "http://127.0.0.1:9/", "Protocol": "Redfish", "Context": "x"}
)
assert subscription.status_code == 201, subscription
connector._conn.delete(subscription.headers["Location"])
print("all done")
