"""The command `gk`: asks the gatekeeper, and keeps the keys and the policy of the one on this host.

Exit codes: 0 answered; 1 refused or failed, with the problem on standard error; 2 wrong usage; 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from client import admin_options, arguments, output, settings
from client.failures import ANSWERED, FAILED, INTERRUPTED, USAGE, StoreError, UsageError, checked
from client.gateway import Client
from client.statements import split
from client.terminal import print_table
from contract.errors import GatekeeperError
from contract.messages import DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS, Answer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. Wrong options end in SystemExit 2, as argparse has it."""
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except GatekeeperError as error:
        _print_problem(error)
        return FAILED
    except (UsageError, StoreError) as error:
        print(f"gk: {error}", file=sys.stderr)
        return FAILED if isinstance(error, StoreError) else USAGE
    except KeyboardInterrupt:
        print("gk: interrupted; a statement that was sent may have taken effect", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough; Python's last flush must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _query(options: argparse.Namespace) -> int:
    show = _SHOW[options.format]
    statements = _statements(options.statement)
    params = checked(UsageError, lambda: arguments.params(options.param))
    if params is not None and len(statements) > 1:
        raise UsageError("--param goes with one statement, and there are several")
    if options.idempotency_key is not None and len(statements) > 1:
        raise UsageError("--idempotency-key goes with one statement, and there are several")
    with _client(options) as client:
        for statement in statements:
            answer = client.answer(
                statement,
                params,
                implementation=options.implementation,
                database=options.database,
                idempotency_key=options.idempotency_key,
            )
            show(answer)
    return ANSWERED


def _statements(argument: str) -> list[str]:
    """The argument whole, for the gatekeeper refuses two in one; from standard input, one after the other."""
    if argument != "-":
        return [argument]
    statements = list(split(checked(UsageError, sys.stdin.read)))
    if not statements:
        raise UsageError("there is no statement, neither as an argument nor on standard input")
    return statements


def _nodes(options: argparse.Namespace) -> int:
    with _client(options) as client:
        proxies = client.nodes()
    if options.format == "json":
        print(output.as_json({"proxies": proxies}))
        return ANSWERED
    print_table(output.nodes_table(proxies))
    for proxy in proxies:
        if proxy.inventory_problem:
            print(
                output.visible(f"gk: {proxy.proxy}: the inventory was refused: {proxy.inventory_problem}"),
                file=sys.stderr,
            )
    return ANSWERED


def _client(options: argparse.Namespace) -> Client:
    def connected() -> Client:
        access = settings.access(options.url, options.key_file, os.environ, Path.cwd())
        return Client(access.url, access.key, timeout_ms=options.timeout_ms, ca=options.ca)

    return checked(UsageError, connected)


def _print_answer_as_table(answer: Answer) -> None:
    if answer.columns:
        print_table(output.table(answer))
    print(output.summary(answer))


def _print_answer_as_csv(answer: Answer) -> None:
    for line in output.csv_lines(answer):
        print(line)
    print(f"gk: {output.summary(answer)}", file=sys.stderr)


def _print_answer_as_json(answer: Answer) -> None:
    print(output.as_json(answer))


_SHOW = {"table": _print_answer_as_table, "json": _print_answer_as_json, "csv": _print_answer_as_csv}


def _print_problem(error: GatekeeperError) -> None:
    spoken = f" [{error.mysql_errno} {error.sqlstate or ''}".rstrip() + "]" if error.mysql_errno else ""
    rule = f"; rule: {error.rule}" if error.rule else ""
    lines = [
        f"gk: {error.title} ({error.status} {error.code})",
        f"  {error.detail}{spoken}",
        f"  outcome: {error.outcome}; retryable: {'yes' if error.retryable else 'no'}{rule}",
        *([f"  request id: {error.request_id}"] if error.request_id else []),
    ]
    print(output.visible("\n".join(lines)), file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Knows no abbreviations: `--key SECRET` must not pass for a --key-file whose name is then shown in an error."""

    def __init__(self, **members: Any) -> None:
        super().__init__(**members, allow_abbrev=False)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gk", description="Ask a MySQL cluster through its gatekeeper.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    connection = _connection_options()
    _add_query(commands.add_parser("query", parents=[connection], help="run a statement and show what it gave"))
    nodes = commands.add_parser("nodes", parents=[connection], help="show what the proxies know of the nodes")
    nodes.add_argument("--format", choices=("table", "json"), default="table")
    nodes.set_defaults(run=_nodes)
    admin_options.add_keys(commands.add_parser("keys", help="keep the API keys of the gatekeeper on this host"))
    admin_options.add_policy(commands.add_parser("policy", help="try or learn a policy of the gatekeeper on this host"))
    admin_options.add_audit(commands.add_parser("audit", help="check the audit log of the gatekeeper on this host"))
    return parser


def _connection_options() -> _Parser:
    options = _Parser(add_help=False)
    group = options.add_argument_group("connection")
    group.add_argument("--url", help=f"the gatekeeper (else {settings.URL_VARIABLE}, else {settings.URL_FILE})")
    key_help = f"a file with the API key (else {settings.KEY_VARIABLE}, else {settings.KEY_FILE})"
    group.add_argument("--key-file", type=Path, metavar="FILE", help=key_help)
    group.add_argument("--ca", metavar="FILE", help="the CA certificates that the gatekeeper's is checked against")
    group.add_argument(
        "--timeout-ms",
        type=_milliseconds,
        default=DEFAULT_TIMEOUT_MS,
        metavar="N",
        help="from a request's start to its answer, in milliseconds (%(default)s)",
    )
    return options


def _milliseconds(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_TIMEOUT_MS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MAX_TIMEOUT_MS}")
    return number


def _add_query(query: argparse.ArgumentParser) -> None:
    query.add_argument("statement", nargs="?", default="-", help="the statement; - or none: those on standard input")
    query.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="[NAME=]VALUE",
        help="a value for the next ?, or for :NAME; read as JSON if it is JSON, else as text; may be repeated",
    )
    query.add_argument("--implementation", help="direct_hit, random_hit or customized_hit (else the policy's choice)")
    query.add_argument("--database", help="the default schema")
    query.add_argument(
        "--idempotency-key",
        metavar="KEY",
        help="a write takes effect once, however often it is sent with this key; it is sent again when no answer comes",
    )
    query.add_argument("--format", choices=tuple(_SHOW), default="table")
    query.set_defaults(run=_query)
