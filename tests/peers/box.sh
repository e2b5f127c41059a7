#!/usr/bin/env bash
# Runs an agent on a captured machine, where it can harm no real one:
#   unshare --net --mount --pid --ipc --uts --fork --kill-child box.sh MACHINE CMDLINE [FOLDER...] -- COMMAND [ARG...]
# MACHINE names one of hardware/fixtures: it becomes /sys, the devices in /dev and udev's database. CMDLINE is the kernel
# command line; each FOLDER can be read inside under its own path.
#
# Each of these alone keeps the real disks and the power switch out of reach:
#   - the old root file system and its /dev are gone, and what stands in /dev has numbers that no driver serves, on a
#     file system where no device can be opened;
#   - the capabilities to make nodes, mount, reboot, load modules, set the clock or change the network are dropped for
#     good;
#   - /proc is read-only, so that nothing reaches /proc/sysrq-trigger, and `reboot` and `poweroff` only end.
set -euo pipefail
fixtures=$(cd "$(dirname "$0")/../../hardware/fixtures" && pwd)
machine=$fixtures/$1 cmdline=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o size=512m,mode=755,nodev box /mnt
cd /mnt
mkdir -p proc dev/shm run tmp var/tmp var/log var/lib mnt root etc/ipa-rescue-config old usr

show() { mkdir -p "./$1" && mount --bind "$1" "./$1" && mount -o remount,bind,ro "./$1"; }
show /usr
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then cp -P "/$name" "$name"; elif [ -d "/$name" ]; then show "/$name"; fi
done
for name in passwd group shadow hosts nsswitch.conf ld.so.cache localtime ssl ca-certificates alternatives; do
    if [ -e "/etc/$name" ]; then cp -a "/etc/$name" "etc/$name"; fi
done
while [ "$1" != -- ]; do show "$1"; shift; done
shift

mount -t proc -o ro proc proc
for name in cpuinfo meminfo swaps; do mount --bind "$machine/proc/$name" "proc/$name"; done
echo "$cmdline" > run/cmdline
mount --bind run/cmdline proc/cmdline
cp -a "$machine/run" "$machine/sys" .
cp -a "$machine/dev/disk" "$machine/dev/mapper" dev/
# What sysfs has besides and programs insist on. Disks get device numbers that no kernel gives.
mkdir -p sys/dev/block
for dev in sys/class/block/*; do
    name=${dev##*/}
    IFS=: read -r major minor < "$dev/dev"
    number=$((major + 2000)):$minor
    echo "$number" > "$dev/dev"
    sed -i "s/^MAJOR=.*/MAJOR=${number%:*}/" "$dev/uevent"
    ln -s /sys/class/block "$dev/subsystem"
    ln -s "../../class/block/$name" "sys/dev/block/$number"
    if [ -e "run/udev/data/b$major:$minor" ]; then mv "run/udev/data/b$major:$minor" "run/udev/data/b$number"; fi
    mknod "dev/$name" b "${number%:*}" "$minor"
done
cpus=sys/devices/system/cpu
for cpu in "$cpus"/cpu[0-9]*; do
    package=$(cat "$cpu/topology/physical_package_id") siblings=0
    for other in "$cpus"/cpu[0-9]*; do
        if [ "$(cat "$other/topology/physical_package_id")" = "$package" ]; then
            siblings=$((siblings | 1 << ${other##*cpu}))
        fi
    done
    printf '%x\n' "$siblings" > "$cpu/topology/core_siblings"
    printf '%x\n' $((1 << ${cpu##*cpu})) > "$cpu/topology/thread_siblings"
done
for node in sys/devices/system/node/node*; do
    IFS=- read -r first last < "$node/cpulist"
    printf '%x\n' $(((2 << last) - (1 << first))) > "$node/cpumap"
    for cpu in $(seq "$first" "$last"); do ln -s "../../cpu/cpu$cpu" "$node/cpu$cpu"; done
done
cp "$cpus/present" "$cpus/possible"
mount --bind sys sys
mount -o remount,bind,ro sys
for name in null zero full random urandom; do : > "dev/$name" && mount --bind "/dev/$name" "dev/$name"; done
ln -s /proc/self/fd dev/fd
mkdir run/bin
for name in reboot poweroff; do printf '#!/bin/sh\nexit 0\n' > "run/bin/$name" && chmod 755 "run/bin/$name"; done
chmod 1777 tmp var/tmp dev/shm
hostname "$(cat "$machine/proc/sys/kernel/hostname")"

pivot_root . old
cd /
umount -l /old
export PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp LC_ALL=C.UTF-8 SYSTEMD_DEVICE_VERIFY_SYSFS=0
# Only what opening files of others and serving a port takes.
keep=-all,+chown,+dac_override,+fowner,+kill,+net_bind_service,+setgid,+setuid
exec setpriv --bounding-set "$keep" --inh-caps=-all --ambient-caps=-all --no-new-privs "$@"
