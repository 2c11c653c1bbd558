# shellcheck shell=bash
# Read by the scripts beside it, which run in the project's root.

say() { printf '[%s] %s\n' "$(basename "$0" .sh)" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Prints the Python to use, $PYTHON if it is set: the first that is 3.11 or newer. Fails when there is none.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}
