#!/usr/bin/env bash
# Makes .venv with exactly what requirements.lock pins, checked by hash, and the project in it; nothing to do while
# the lock, the project's description and the place are the same.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/common.sh

wanted=$({ echo "${PYTHON:-}" && pwd && cat requirements.lock pyproject.toml deploy/venv.sh; } | sha256sum)
if [ "$(cat .venv/made-from 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

python=$(find_python) || die "Python 3.11 or newer is needed, but there is ${PYTHON:-$(python3 --version 2>&1)}." \
    "Install one, or name it: make PYTHON=/path/to/python3.11 ..."
say "making .venv with $("$python" --version)"
"$python" -m venv --clear .venv || die "$python can't make a virtual environment; on Debian, install python3-venv"
pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip -qq install"
$pip --require-hashes --only-binary :all: -r requirements.lock
$pip --no-deps --no-build-isolation --editable .
printf '%s\n' "$wanted" >.venv/made-from
