"""The options of the commands that work on the files of the gatekeeper on this host; client/admin.py runs them."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from client import settings
from client.failures import UsageError


def add_keys(keys: argparse.ArgumentParser) -> None:
    """The commands below `gk keys`."""
    commands = keys.add_subparsers(title="commands", required=True, metavar="COMMAND")
    store_help = f"the gatekeeper's file of keys (else {settings.STORE_VARIABLE}, else {settings.STORE_FILE})"

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text)
        made.add_argument("--file", type=Path, metavar="FILE", help=store_help)
        made.set_defaults(run=_later(f"keys_{name}"))
        return made

    add = command("add", "make a key and print it, once")
    add.add_argument("name", help="whose key it is")
    add.add_argument("--role", required=True, help="the policy's role for it")
    add.add_argument(
        "--expires-days", type=_from_to(1, 36_500), metavar="N", help="how long it is good (else for ever)"
    )
    add.add_argument("--rate-per-second", type=_rate, metavar="N", help="requests a second (else as many as it wants)")
    add.add_argument(
        "--burst", type=_from_to(1, 1_000_000), metavar="N", help="requests at once (else those of a second)"
    )
    add.add_argument("--max-concurrent", type=_from_to(1, 256), metavar="N", help="requests under way at the same time")
    rotate = command("rotate", "make a key's successor and print it, once")
    rotate.add_argument("name")
    rotate.add_argument(
        "--overlap-hours",
        type=_from_to(0, 8_760),
        required=True,
        metavar="N",
        help="how long the old key stays good beside the new one; 0: not at all",
    )
    command("list", "show the keys' names, roles and ends").add_argument(
        "--format", choices=("table", "json"), default="table"
    )
    command("revoke", "make a key, and those it succeeds, worthless").add_argument("name")


def add_policy(policy: argparse.ArgumentParser) -> None:
    """The commands below `gk policy`."""
    commands = policy.add_subparsers(title="commands", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="say whether a policy file is sound, or name every mistake")
    check.add_argument("policy", type=Path, metavar="FILE")
    check.set_defaults(run=_later("policy_check"))
    explain = commands.add_parser("explain", help="say what the gatekeeper would answer to a statement, and why")
    explain.add_argument("statement")
    # The member is not called `key`: this is a name, and nobody should look for a secret here.
    explain.add_argument("--key", required=True, dest="key_name", metavar="NAME", help="the name of the key that asks")
    policy_help = f"the policy (else {settings.POLICY_VARIABLE}, else {settings.POLICY_FILE})"
    explain.add_argument("--policy", type=Path, metavar="FILE", help=policy_help)
    explain.add_argument("--keys", type=Path, metavar="FILE", help="the file of keys, found as by gk keys")
    explain.add_argument("--database", help="the default schema (else the policy's)")
    explain.add_argument("--format", choices=("table", "json"), default="table")
    explain.set_defaults(run=_later("policy_explain"))
    learn = commands.add_parser("learn", help="print the smallest policy that allows what was recorded of a role")
    learn.add_argument("files", type=Path, nargs="+", metavar="FILE", help="the gatekeeper's records")
    learn.add_argument("--role", required=True, metavar="NAME", help="the role that was recorded")
    learn.add_argument("--columns", action="store_true", help="restrict tables to the columns used (else whole tables)")
    learn.add_argument(
        "--allowed-only", action="store_true", help="leave out what the policy had something against (else all counts)"
    )
    keep_help = "a policy, for what can't be learnt: the role's hidden columns, limits and end (else none)"
    learn.add_argument("--keep", type=Path, metavar="FILE", help=keep_help)
    learn.set_defaults(run=_later("policy_learn"))


def add_audit(audit: argparse.ArgumentParser) -> None:
    """The commands below `gk audit`."""
    commands = audit.add_subparsers(title="commands", required=True, metavar="COMMAND")
    verify = commands.add_parser("verify", help="check that no line of an audit log was changed, removed or put in")
    verify.add_argument("files", type=Path, nargs="+", metavar="FILE", help="its files, in any order")
    verify.add_argument("--format", choices=("table", "json"), default="table")
    verify.set_defaults(run=_later("audit_verify"))


def _later(name: str) -> Callable[[argparse.Namespace], int]:
    """The command of that name, from a module that only a gatekeeper's host can import, and that takes its time."""

    def run(options: argparse.Namespace) -> int:
        try:
            commands = import_module("client.admin")
        except ImportError:
            raise UsageError(
                "this is done on the gatekeeper's host, and no gatekeeper is installed on this one"
            ) from None
        code: int = getattr(commands, name)(options)
        return code

    return run


def _rate(text: str) -> float:
    value = float(text)
    if not 0.001 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not from 0.001 to 1000000")
    return value


def _from_to(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from {least} to {most}")
        return value

    return number
