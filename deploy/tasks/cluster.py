"""A cluster on machines: `fab deploy` and what an operator does afterwards."""

import time
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import clusters, plan
from deploy.deployment import deploy as deployed
from deploy.site import printing
from deploy.tasks.failures import USAGE, reported

_CLUSTER = "the cluster's name (default: main)"
DRY_RUN = "say what would be done on which machine, and do nothing"
_PROVIDER = "ec2 or fleet; needed once, the cluster remembers it"


@task(
    help={
        "cluster": _CLUSTER,
        "provider": _PROVIDER,
        "engine": "ndb or galera; needed once",
        "config": "a TOML file with all of it (docs/operations.md); needed once, or to change it",
        "dry_run": DRY_RUN,
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
        members = _given(provider=provider, engine=engine)
        deployment = clusters.described(cluster, say, config=path, members=members, keep=not dry_run)
        if dry_run:
            plan.tell(deployment)
            return
        site = deployed(deployment)
        answered = clusters.first_queries(deployment, site)
    for implementation, node in answered:
        say(node, f"answered {implementation}")
    say(cluster, f"deployed in {time.monotonic() - began:.0f} s: {clusters.url(deployment, site)}")


@task(
    help={
        "cluster": _CLUSTER,
        "yes": "the cluster's name again, instead of being asked for it",
        "dry_run": "name the machines, and do nothing",
    }
)
@reported
def destroy(_context: Context, cluster: str = clusters.DEFAULT_NAME, yes: str = "", dry_run: bool = False) -> None:
    """Remove all machines of a cluster with their data. Asks for the cluster's name."""
    say = printing()
    with clusters.locked(cluster):
        deployment = clusters.known(cluster, say)
        machines = deployment.provider.find()
        print(f"This removes {len(machines)} machines with all data: {', '.join(each.name for each in machines)}")
        if dry_run:
            return
        if (yes or input(f"Type the cluster's name ({cluster}) to go on: ")) != cluster:
            raise Exit("not the cluster's name; nothing was removed", code=USAGE)
        deployment.provider.destroy(say)
        clusters.forget(deployment)
    say(cluster, "destroyed")


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value}
