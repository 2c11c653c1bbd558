#!/usr/bin/env bash
# Installs the Debian packages that a local cluster needs, and with `bench` or `test` those that `make bench` or
# `make test` need, too: those that are missing only. Looks for what they bring, so that other systems pass where it is
# there already. Debian's daemons are neither started nor enabled by it: the cluster runs processes of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/common.sh

POLICY=/usr/sbin/policy-rc.d
DAEMONS="mariadb.service nginx.service rsync.service ssh.service ssh.socket"

missing_packages() {
    [ -n "$(type -P make)" ] || echo make
    [ -x /usr/sbin/mariadbd ] && [ -x /usr/bin/mariadb-install-db ] || echo mariadb-server
    [ -e /usr/lib/galera/libgalera_smm.so ] || echo galera-4
    [ -x /usr/sbin/sshd ] || echo openssh-server
    [ -n "$(type -P ssh)" ] || echo openssh-client
    [ -n "$(type -P rsync)" ] || echo rsync
    local python
    if ! python=$(find_python); then
        echo python3 python3-venv
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo python3-venv
    fi
    if [ "${1:-}" = test ]; then
        [ -x /usr/sbin/nginx ] || echo nginx-light
        # What a fleet of machines takes, which only root can have.
        if [ "$(id -u)" -eq 0 ]; then
            [ -n "$(type -P systemd-nspawn)" ] || echo systemd-container
            [ -n "$(type -P debootstrap)" ] || echo debootstrap
            [ -n "$(type -P nft)" ] || echo nftables
        fi
        # What MySQL NDB Cluster's archive takes; without them the tests with it say why they are skipped.
        has_library libaio.so.1 || known_package libaio1
        has_library libnuma.so.1 || known_package libnuma1
        # The console is tested in a real browser; where the distribution has none the test says why it is skipped.
        [ -n "$(type -P chromium)" ] || known_package chromium
        [ -n "$(type -P chromedriver)" ] || known_package chromium-driver
        [ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] || known_package fonts-dejavu-core
    fi
    if [ "${1:-}" = bench ]; then
        [ -n "$(type -P wrk)" ] || echo wrk
        [ -n "$(type -P node)" ] || echo nodejs
        [ -n "$(type -P npm)" ] || echo npm
    fi
}

# Reads all that ldconfig says: one that is not heard to its end fails, and with it the pipe.
has_library() { /sbin/ldconfig -p 2>/dev/null | grep -F "$1 " >/dev/null; }

# Prints the package's name if this release of the distribution has it.
known_package() { apt-cache show "$1" 2>/dev/null | awk '/^Package: / && !found++ { print $2 }' || true; }

is_debian() { [ -n "$(type -P apt-get)" ] && grep -qsE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release; }

# A policy that forbids to start daemons (invoke-rc.d(8)), for as long as this runs; an older one comes back after it.
forbid_daemons() {
    saved=$(mktemp -d)
    [ ! -e "$POLICY" ] || mv "$POLICY" "$saved/policy"
    trap restore_daemons EXIT
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

restore_daemons() {
    rm -f "$POLICY"
    [ ! -e "$saved/policy" ] || mv "$saved/policy" "$POLICY"
    rm -rf "$saved"
}

known_daemons() {
    local unit
    for unit in $DAEMONS; do
        [ ! -e "/lib/systemd/system/$unit" ] || echo "$unit"
    done
}

# At the next boot, too, a daemon that came with these packages stays off, with systemd and without it (update-rc.d(8)).
disable_daemons() {
    local unit
    for unit in "$@"; do
        if [ -e "/etc/init.d/${unit%.*}" ]; then
            update-rc.d "${unit%.*}" disable
        fi
        if [ -n "$(type -P systemctl)" ]; then
            systemctl --quiet disable "$unit" 2>/dev/null || say "$unit could not be disabled"
        fi
    done
}

install_as_root() {
    local before
    umask 022
    before=$(known_daemons)
    forbid_daemons
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update </dev/null || say "the package lists could not be refreshed; trying with those that are here"
    apt-get -qq install --yes --no-install-recommends "$@" </dev/null >/dev/null ||
        die "apt-get could not install: $*"
    # Names of units, without blanks:
    # shellcheck disable=SC2046
    disable_daemons $(comm -13 <(sort <<<"$before") <(known_daemons | sort))
}

main() {
    local packages
    mapfile -t packages < <(missing_packages "$@" | tr ' ' '\n')
    if [ "${#packages[@]}" -eq 0 ]; then
        return
    fi
    is_debian || die "these are missing: ${packages[*]}. They can be installed here on Debian and Ubuntu only; install" \
        "what corresponds to them, and try again"
    say "installing ${packages[*]}"
    if [ "$(id -u)" -eq 0 ]; then
        install_as_root "${packages[@]}"
    elif sudo -n true 2>/dev/null; then
        sudo -n bash deploy/install.sh --packages "${packages[@]}"
    else
        die "these packages are missing, and it takes root, or sudo without a password, to install them:" \
            "run 'apt-get install ${packages[*]}' as root, and try again"
    fi
    mapfile -t packages < <(missing_packages "$@" | tr ' ' '\n')
    [ "${#packages[@]}" -eq 0 ] || die "installed, but still missing: ${packages[*]}"
}

if [ "${1:-}" = --packages ]; then
    install_as_root "${@:2}"
else
    main "$@"
fi
