#!/usr/bin/env bash
# Writes requirements.lock anew: the newest versions that the ranges allow, for every Python from 3.11 on, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/common.sh

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$(find_python)" -m venv "$tools"
"$tools/bin/pip" --quiet --disable-pip-version-check install uv
"$tools/bin/uv" --quiet pip compile --universal --python-version 3.11 --generate-hashes --upgrade \
    --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
    --output-file requirements.lock requirements-dev.txt
say "requirements.lock is written; make venv installs it"
