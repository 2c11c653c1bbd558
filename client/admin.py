"""The commands of `gk` that work on the files of the gatekeeper on this host: keys, policy, audit log.

The only module of the client that knows the package gatekeeper; client/admin_options.py imports it when it is needed.
"""

import argparse
import os
from datetime import timedelta
from pathlib import Path

import msgspec

from client import output, settings
from client.failures import ANSWERED, FAILED, StoreError, UsageError, checked
from client.terminal import note, print_rows, say
from gatekeeper import audit_chain, explain, keys, policy, rates, recording
from gatekeeper.policy import learn, render

_ONLY_TIME = "this is the only time that the key is shown"


def keys_add(options: argparse.Namespace) -> int:
    """Makes a key and prints it."""
    path = _key_store(options.file)
    lifetime = timedelta(days=options.expires_days) if options.expires_days else None
    limits = rates.Limits(options.rate_per_second, options.burst, options.max_concurrent)
    say(checked(StoreError, lambda: keys.add(path, options.name, options.role, lifetime=lifetime, limits=limits)))
    note(_ONLY_TIME)
    return ANSWERED


def keys_rotate(options: argparse.Namespace) -> int:
    """Makes a key's successor and prints it."""
    path = _key_store(options.file)
    overlap = timedelta(hours=options.overlap_hours)
    say(checked(StoreError, lambda: keys.rotate(path, options.name, overlap=overlap)))
    note(f"{_ONLY_TIME}; the old one is good for {options.overlap_hours} hours more at most")
    return ANSWERED


def keys_list(options: argparse.Namespace) -> int:
    """Shows the keys' names, roles and lives, never a key or its hash."""
    kept = checked(StoreError, lambda: keys.listed(_key_store(options.file)))
    if options.format == "json":
        say(output.as_json([_shown(key) for key in kept]))
    else:
        rows = [[str(value or "-") for value in _shown(key).values()] for key in kept]
        print_rows(("name", "role", "created", "expires", "rate", "burst", "at once"), rows)
    return ANSWERED


def _shown(key: keys.Key) -> dict[str, str | float | None]:
    """What may be seen of a key."""
    expires = key.expires.isoformat() if key.expires else None
    shown = {"name": key.name, "role": key.role, "created": key.created, "expires": expires}
    return shown | msgspec.structs.asdict(key.limits)


def keys_revoke(options: argparse.Namespace) -> int:
    """Removes a key."""
    checked(StoreError, lambda: keys.revoke(_key_store(options.file), options.name))
    say(f"revoked {options.name}")
    return ANSWERED


def policy_check(options: argparse.Namespace) -> int:
    """Says whether a policy file would be taken."""
    try:
        found = policy.load(options.policy)
    except policy.PolicyError as error:
        say(str(error))  # as FILE:LINE: mistake, which editors understand
        return FAILED
    say(f"{options.policy.name} is sound; roles: {', '.join(sorted(found.roles))}")
    return ANSWERED


def policy_explain(options: argparse.Namespace) -> int:
    """Says what the gatekeeper would answer to a statement, and why."""
    rules = checked(StoreError, lambda: policy.load(_policy_file(options.policy)))
    found = explain.explain(rules, _role(options), options.statement, options.database)
    if options.format == "json":
        say(output.as_json(found))
    else:
        for name, value in msgspec.to_builtins(found).items():
            if value:
                say(f"{name.replace('_', ' '):16}{', '.join(value) if isinstance(value, list | tuple) else value}")
    return FAILED if found.verdict == "refused" else ANSWERED


def policy_learn(options: argparse.Namespace) -> int:
    """Prints the smallest policy that allows what was recorded of a role."""

    def learnt() -> str:
        records = [record for path in options.files for record in recording.read(path)]
        keep = policy.load(options.keep) if options.keep else None
        found = learn.learn(
            records, options.role, columns=options.columns, allowed_only=options.allowed_only, keep=keep
        )
        return render.render(options.role, found)

    say(checked(StoreError, learnt).rstrip("\n"))
    return ANSWERED


def audit_verify(options: argparse.Namespace) -> int:
    """Checks the chain of an audit log's lines, or names the first line that breaks it."""
    found = checked(StoreError, lambda: audit_chain.verify(options.files))
    if options.format == "json":
        say(output.as_json(found))
    else:
        say(f"sound: lines {found.first} to {found.last} in {found.files} file{'' if found.files == 1 else 's'}")
        say(f"it ends with {found.hash}")
    return ANSWERED


def _role(options: argparse.Namespace) -> str:
    kept = checked(StoreError, lambda: keys.listed(_key_store(options.keys)))
    roles = [key.role for key in kept if key.name == options.key_name]
    if not roles:
        raise StoreError(f"there is no key named {options.key_name}")
    return roles[-1]


def _key_store(given: Path | None) -> Path:
    return given or checked(UsageError, lambda: settings.key_store(os.environ, Path.cwd()))


def _policy_file(given: Path | None) -> Path:
    return given or checked(UsageError, lambda: settings.policy_file(os.environ, Path.cwd()))
