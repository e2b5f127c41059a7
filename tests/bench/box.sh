#!/usr/bin/env bash
# Runs an agent as if it were alone in a ramdisk of a machine whose only disk is one loop device:
#   box.sh CGROUP DISK CMDLINE COMMAND [ARG...]
# CGROUP is a folder of the devices controller that the caller has made; it lets DISK and its partitions be opened and no
# other disk. CMDLINE stands in /proc/cmdline. When COMMAND calls poweroff or reboot, or ends, everything in the box ends.
#
# What keeps this machine safe: the devices cgroup; other disks are not in /dev nor in /sys; the root file system is
# read-only; the capabilities to switch the machine, to set its clock, to load modules and to change its network are gone.
set -euo pipefail

if [ "$1" != --inside ]; then
    cgroup=$1
    shift
    echo $$ > "$cgroup/cgroup.procs"
    exec unshare --mount --pid --uts --ipc --fork --kill-child --propagation private --mount-proc "$0" --inside "$@"
fi
disk=$2 cmdline=$3
shift 3
name=${disk#/dev/}

mount -t tmpfs -o size=8g tmpfs /mnt
mkdir /mnt/bin /mnt/tmp
chmod 1777 /mnt/tmp
echo "$cmdline" > /mnt/cmdline
mount --bind /mnt/cmdline /proc/cmdline
if [ -e /proc/sysrq-trigger ]; then mount --bind /dev/null /proc/sysrq-trigger; fi
for device in /sys/class/block/*; do
    other=/dev/${device##*/}
    case $other in "$disk" | "$disk"p*) continue ;; esac
    if [ -b "$other" ]; then mount --bind /dev/null "$other"; fi
done
for folder in /sys/block /sys/class/block; do
    mount -t tmpfs -o size=64k tmpfs "$folder"
    ln -s "/sys/devices/virtual/block/$name" "$folder/$name"
done
for part in 1 2 3 4 5 6 7 8; do
    ln -s "/sys/devices/virtual/block/$name/${name}p$part" "/sys/class/block/${name}p$part"
done

# A loop device is no disk for lsblk, and without udev nobody tells the kernel about partitions.
cat > /mnt/bin/lsblk <<END
#!/bin/sh
exec /usr/bin/lsblk "\$@" $disk | sed -e 's/TYPE="loop"/TYPE="disk"/' -e 's/"type":"loop"/"type":"disk"/' \
    -e 's/"type": "loop"/"type": "disk"/'
END
cat > /mnt/bin/udevadm <<END
#!/bin/sh
if [ "\$1" = settle ]; then partx --update $disk >/dev/null 2>&1; exit 0; fi
exec /usr/bin/udevadm "\$@"
END
printf '#!/bin/sh\nkill -TERM 1\n' | tee /mnt/bin/poweroff > /mnt/bin/reboot
chmod 755 /mnt/bin/*

hostname box
mount -o remount,bind,ro /
mount --bind /mnt/tmp /tmp
mount -t tmpfs -o size=64m tmpfs /run
mkdir /run/udev /run/lock
# Proof instead of hope.
for device in /dev/*; do
    case $device in "$disk" | "$disk"p*) continue ;; esac
    if [ -b "$device" ] && head -c 1 "$device" >/dev/null 2>&1; then echo "box.sh: $device can be read" >&2; exit 99; fi
done
if touch /.box 2>/dev/null; then echo "box.sh: the root file system can be written" >&2; exit 99; fi

export PATH=/mnt/bin:$PATH TMPDIR=/tmp
trap 'exit 0' TERM INT
setpriv --bounding-set=-sys_boot,-sys_time,-sys_module,-sys_rawio,-mknod,-net_admin --inh-caps=-all "$@" &
# `wait` is interrupted by the signals of poweroff and reboot; the namespace ends with its first process.
wait $!
