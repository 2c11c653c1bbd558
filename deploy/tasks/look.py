"""What an operator looks at: how a cluster is, its machines' logs, what it answers, what it costs."""

import os
import sys
from collections.abc import Sequence

import msgspec
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task
from rich.table import Table

from client import arguments, output
from client.terminal import print_rows, print_table
from contract.inventory import render as rendered
from contract.messages import Answer
from deploy import clusters, survey, terminal
from deploy.cluster import Cluster, ClusterError
from deploy.deployment import inventory as listed
from deploy.providers.ec2 import cost as prices
from deploy.sample import rental
from deploy.site import printing
from deploy.survey import Row
from deploy.tasks.failures import FAILED, USAGE, reported

CLUSTER = "the cluster's name (default: main)"
FORMAT = "table (for people) or json (for programs)"
_FORMATS = ("table", "json")
_MOST_LINES = 100_000


def checked_format(format: str) -> str:  # noqa: A002 (the option's name)
    """The format, if there is such a one."""
    if format not in _FORMATS:
        raise Exit(f"unknown format {format!r}; known are {', '.join(_FORMATS)}", code=USAGE)
    return format


@task(help={"cluster": CLUSTER, "format": FORMAT})
@reported
def status(_context: Context, cluster: str = clusters.DEFAULT_NAME, format: str = "table") -> None:  # noqa: A002
    """Show machines, services, engine, versions, certificates' ends and disks; exit code 2 when something is wrong."""
    checked_format(format)
    rows = survey.rows(clusters.known(cluster, printing()))
    if format == "json":
        print(msgspec.json.encode(rows).decode())
    else:
        print_table(_status(rows))
    if problems := [row.name for row in rows if row.problem]:
        raise Exit(f"{len(problems)} of {len(rows)} machines have a problem: {', '.join(problems)}", code=FAILED)


@task(help={"cluster": CLUSTER})
@reported
def inventory(_context: Context, cluster: str = clusters.DEFAULT_NAME) -> None:
    """Print cluster_config.csv as the provider tells the machines now, in the form that proxies read."""
    print(rendered(listed(clusters.known(cluster, printing()).provider.find())), end="")


@task(help={"name": "the machine's name, as status shows it", "cluster": CLUSTER, "command": "run this, not a shell"})
@reported
def ssh(_context: Context, name: str, cluster: str = clusters.DEFAULT_NAME, command: str = "") -> None:
    """Log in to a machine with the cluster's key, its host key checked."""
    deployment = clusters.known(cluster, printing())
    _become(terminal.to(deployment, name, ["sh", "-c", command] if command else []))


@task(
    help={
        "name": "the machine's name, as status shows it",
        "cluster": CLUSTER,
        "follow": "go on showing lines as they come, until Ctrl-C",
        "lines": "so many of the last lines (default: 100)",
    }
)
@reported
def logs(
    _context: Context, name: str, cluster: str = clusters.DEFAULT_NAME, follow: bool = False, lines: int = 100
) -> None:
    """Show the log of a machine's services and servers."""
    if not 0 <= lines <= _MOST_LINES:
        raise Exit(f"--lines must be 0 to {_MOST_LINES}", code=USAGE)
    deployment = clusters.known(cluster, printing())
    machine = terminal.running(deployment, deployment.provider.find(), name)
    words = terminal.journal(deployment.engine, machine.role, lines=lines, follow=follow)
    _become(terminal.to(deployment, name, words, terminal=follow and sys.stdin.isatty()))


@task(
    iterable=["param"],
    help={
        "sql": "one statement; ? or :name stand for parameters",
        "cluster": CLUSTER,
        "implementation": "direct_hit, random_hit or customized_hit; left out, the policy's default",
        "param": "VALUE for ?, or NAME=VALUE for :name; may be given several times",
        "database": f"the schema (default: {rental.SCHEMA}, where the sample is)",
        "format": FORMAT,
    },
)
@reported
def query(  # noqa: PLR0917 (options are given by name)
    _context: Context,
    sql: str,
    cluster: str = clusters.DEFAULT_NAME,
    implementation: str | None = None,
    param: Sequence[str] | None = None,
    database: str | None = None,
    format: str = "table",  # noqa: A002 (the option's name)
) -> None:
    """Run a statement as clients do, through nginx and the gatekeeper, with the tasks' own key."""
    checked_format(format)
    try:
        params = arguments.params(param or ())
    except ValueError as error:
        raise Exit(str(error), code=USAGE) from None
    deployment = clusters.known(cluster, printing())
    schema = database or (rental.SCHEMA if deployment.cluster.sample else None)
    with clusters.client(deployment, deployment.site()) as client:
        _show(client.answer(sql, params, implementation=implementation, database=schema), format)


@task(help={"cluster": CLUSTER, "region": "with ec2: whose prices (default: the description's)", "format": FORMAT})
@reported
def cost(
    _context: Context,
    cluster: str = clusters.DEFAULT_NAME,
    region: str | None = None,
    format: str = "table",  # noqa: A002 (the option's name)
) -> None:
    """Show what a cluster costs a month, by a table of prices that tells its date."""
    checked_format(format)
    described = clusters.known(cluster, printing()).cluster
    found = prices.monthly(described.wanted(), _region(described, region), private=_is_private(described))
    if format == "json":
        whole = {**msgspec.structs.asdict(found), "total": found.total, "unknown": found.unknown}
        print(msgspec.json.encode(whole).decode())
        return
    print_rows(("name", "size", "machine", "volume", "address"), [_cost_row(item) for item in found.items])
    left_out = f", without {', '.join(found.unknown)}" if found.unknown else ""
    print(f"{found.total:.2f} USD a month in {found.region}{left_out}; prices of {found.as_of}: check {found.source}")


def _become(command: list[str]) -> None:
    """The program in this one's place: it has the terminal, and its exit status counts."""
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606 (no shell is in between)


def _show(answer: Answer, format: str) -> None:  # noqa: A002 (the option's name)
    if format == "json":
        print(output.as_json(answer))
        return
    if answer.columns:
        print_table(output.table(answer))
    print(output.summary(answer))


def _status(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("name", "role", "address", "state", "engine", "services", "version", "certificate ends", "disk"):
        table.add_column(column, no_wrap=True)
    table.add_column("problem", overflow="fold")
    for row in rows:
        services = ", ".join(f"{unit} {state}" for unit, state in row.services.items())
        disk = "" if row.disk_used is None else f"{row.disk_used} %"
        table.add_row(
            *(row.name, row.role, row.address, row.state, row.engine_state, services, row.version),
            *(row.certificate_ends[:10], disk, output.visible(row.problem)),
        )
    return table


def _region(described: Cluster, given: str | None) -> str:
    if described.ec2 is None:
        raise ClusterError(f"machines of the provider {described.provider} cost nothing but their host")
    if region := given or described.ec2.region:
        return region
    raise ClusterError("whose prices? say --region, or ec2.region in the description")


def _is_private(described: Cluster) -> bool:
    return bool(described.ec2 and described.ec2.private_subnets)


def _cost_row(item: prices.Item) -> tuple[str, ...]:
    machine = "?" if item.machine is None else f"{item.machine:.2f}"
    return (item.name, item.size, machine, f"{item.volume:.2f}", f"{item.address:.2f}")
