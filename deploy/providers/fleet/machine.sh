#!/usr/bin/env bash
# Runs one machine for as long as it is on; a reboot inside ends nspawn with status 133, and it is begun anew.
# usage: machine.sh DIRECTORY MACHINE HOSTNAME UUID NAMESPACE GROUP, in a mount namespace of its own
set -euo pipefail
cd "$1"
machine=$2 hostname=$3 uuid=$4 namespace=$5 group=$6

# Of all hierarchies with version 1, of the only one with version 2; see cgroups(7).
for procs in /sys/fs/cgroup/{,*/}"$group/cgroup.procs"; do
    [ ! -e "$procs" ] || echo $$ >"$procs"
done

# Names without a path, since a comma or a colon in one would mean something here.
mount -t overlay -o lowerdir=image,upperdir=upper,workdir=work overlay root

# nspawn leaves locks and directories there.
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn

status=133
while [ "$status" -eq 133 ]; do
    status=0
    # The variable lets `sysctl net.*` be set inside; see ENVIRONMENT.md of systemd.
    SYSTEMD_NSPAWN_API_VFS_WRITABLE=network systemd-nspawn --quiet --directory="$PWD/root" --machine="$machine" \
        --hostname="$hostname" --uuid="$uuid" --register=no --keep-unit --resolv-conf=off --timezone=off \
        --link-journal=no --kill-signal=SIGRTMIN+3 --network-namespace-path="/run/netns/$namespace" \
        --capability=CAP_NET_ADMIN --boot || status=$?
done
exit "$status"
