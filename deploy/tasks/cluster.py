"""A cluster on machines: `fab deploy` and what an operator does afterwards."""

import time
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import clusters
from deploy.deployment import API_ROLE, Deployment
from deploy.deployment import deploy as deployed
from deploy.site import printing
from deploy.tasks.failures import USAGE, reported

_CLUSTER = "the cluster's name (default: main)"
_PROVIDER = "ec2 or fleet; needed once, the cluster remembers it"


@task(
    help={
        "cluster": _CLUSTER,
        "provider": _PROVIDER,
        "engine": "ndb or galera; needed once",
        "config": "a TOML file with all of it (docs/operations.md); needed once, or to change it",
        "dry_run": "print what would be done to machines, and do nothing",
    }
)
@reported
def deploy(
    _context: Context,
    cluster: str = clusters.DEFAULT_NAME,
    provider: str | None = None,
    engine: str | None = None,
    config: str | None = None,
    dry_run: bool = False,
) -> None:
    """Make machines, databases and services as described; a second run changes nothing."""
    say, began = printing(), time.monotonic()
    path = Path(config) if config else None
    with clusters.locked(cluster):
        deployment = clusters.described(cluster, say, config=path, members=_given(provider=provider, engine=engine))
        if dry_run:
            _print_plan(deployment)
            return
        site = deployed(deployment)
        answered = clusters.first_queries(deployment, site)
    for implementation, node in answered:
        say(node, f"answered {implementation}")
    say(cluster, f"deployed in {time.monotonic() - began:.0f} s: {clusters.url(deployment, site)}")


@task(help={"cluster": _CLUSTER, "yes": "the cluster's name again, instead of being asked for it"})
@reported
def destroy(_context: Context, cluster: str = clusters.DEFAULT_NAME, yes: str = "") -> None:
    """Remove all machines of a cluster with their data. Asks for the cluster's name."""
    say = printing()
    with clusters.locked(cluster):
        deployment = clusters.known(cluster, say)
        machines = deployment.provider.find()
        print(f"This removes {len(machines)} machines with all data: {', '.join(each.name for each in machines)}")
        if (yes or input(f"Type the cluster's name ({cluster}) to go on: ")) != cluster:
            raise Exit("not the cluster's name; nothing was removed", code=USAGE)
        deployment.provider.destroy(say)
        clusters.forget(deployment)
    say(cluster, "destroyed")


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value}


def _print_plan(deployment: Deployment) -> None:
    deployment.material.make(API_ROLE)  # the order has the operator's public key
    planned = deployment.provider.plan(deployment.order())
    print("\n".join(planned) or "machines: unchanged")
