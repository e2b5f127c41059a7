#!/bin/bash
# What Fedora CoreOS adds to dracut and Ignition: where the root file system and the config come from.

depends() {
    echo ignition systemd-networkd
}

install() {
    local unit
    inst_multiple blkid cat cp curl install losetup mkdir mount rm sleep tr udevadm umount
    inst_script "$moddir/is-live-image" /usr/bin/is-live-image
    inst_script "$moddir/live-sysroot" /usr/libexec/live-sysroot
    inst_script "$moddir/ignition-setup-user" /usr/libexec/ignition-setup-user
    # Debian's Ignition always labels what it writes; there is nothing to label.
    inst_script "$moddir/setfiles" /usr/sbin/setfiles
    inst_simple "$moddir/50-live.network" /usr/lib/systemd/network/50-live.network
    for unit in live-sysroot.service ignition-setup-user.service; do
        inst_simple "$moddir/$unit" "$systemdsystemunitdir/$unit"
    done
    mkdir -p "$initdir/$systemdsystemunitdir"/{initrd-root-fs.target,ignition-complete.target}.requires
    ln_r "$systemdsystemunitdir/live-sysroot.service" "$systemdsystemunitdir/initrd-root-fs.target.requires/live-sysroot.service"
    ln_r "$systemdsystemunitdir/ignition-setup-user.service" \
        "$systemdsystemunitdir/ignition-complete.target.requires/ignition-setup-user.service"
}
