#!/usr/bin/env bash
# Makes the image of the fleet's machines: one stage a call, in a mount namespace of its own, as image.py calls it.
# usage: image.sh STAGE ROOT [WORD...]
set -euo pipefail
stage=$1
root=$2
shift 2
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
umask 022

# The namespace is this script's, so nothing has to be unmounted.
inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

mount_system() {
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t sysfs -o ro sysfs "$root/sys"
}

# debootstrap's own mirror is the one that this host's apt uses for the suite; see indextargets in apt-get(8).
stage_bootstrap() {
    local suite=$1 mirror
    # shellcheck disable=SC2016 # apt-get replaces these
    mirror=$(apt-get indextargets --format '$(RELEASE) $(SITE)' 'Created-By: Packages' |
        awk -v suite="$suite" '$1 == suite {print $2; exit}')
    if [ -z "$mirror" ]; then
        echo "this host's apt sources name no Debian $suite" >&2
        exit 1
    fi
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror"
}

# What this host needs to reach its packages is needed by the machines too. Hooks of this host's apt stay outside.
stage_sources() {
    local name
    mount_system
    rm -f "$root/etc/apt/sources.list"
    for name in sources.list sources.list.d apt.conf.d preferences.d trusted.gpg.d keyrings; do
        [ ! -e "/etc/apt/$name" ] || cp -RL --preserve=mode "/etc/apt/$name" "$root/etc/apt/"
    done
    cat >"$root/etc/apt/apt.conf.d/zz-fleet" <<'END'
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Keep-Downloaded-Packages "true";
Binary::apt::APT::Keep-Downloaded-Packages "true";
END
    # A power cut of a machine keeps the host's page cache, so that waiting for the disk would gain nothing.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/fleet"
    cat /etc/resolv.conf >"$root/etc/resolv.conf"
    mkdir -p "$root/usr/local/share/ca-certificates"
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp -L {} "$root/usr/local/share/ca-certificates/" \;
    inside update-ca-certificates
    # Daemons are not to start here; see invoke-rc.d(8).
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    inside apt-get -q update
}

stage_install() {
    mount_system
    inside apt-get -q --yes --no-install-recommends dist-upgrade
    inside apt-get -q --yes --no-install-recommends install "$@"
    inside apt-get clean
}

# Kept with their dependencies, so that apt-get can install them on a machine that has no way out.
stage_download() {
    mount_system
    inside apt-get -q --yes --no-install-recommends --download-only install "$@"
}

# As a cloud's image is: one account, no password, no identity of its own.
stage_finish() {
    local unit
    inside useradd --create-home --shell /bin/bash --uid 1000 --user-group admin
    echo 'admin ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/90-admin"
    chmod 440 "$root/etc/sudoers.d/90-admin"
    cat >"$root/etc/ssh/sshd_config.d/fleet.conf" <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
END
    # Who is greeted can log in: until then a starting system refuses all but root, see pam_nologin(8).
    mkdir -p "$root/etc/systemd/system/ssh.service.d"
    printf '[Unit]\nAfter=systemd-user-sessions.service\n' >"$root/etc/systemd/system/ssh.service.d/fleet.conf"
    rm -f "$root"/etc/ssh/ssh_host_* "$root/usr/sbin/policy-rc.d" "$root/var/lib/dbus/machine-id"
    : >"$root/etc/machine-id"
    # A machine has no way out: a name that can't be resolved must fail at once.
    : >"$root/etc/resolv.conf"
    inside systemctl enable ssh.service
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
        console-getty.service getty.target systemd-timesyncd.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    rm -rf "$root"/tmp/* "$root"/var/tmp/* "$root"/var/log/apt/* "$root"/run/*
}

"stage_$stage" "$@"
