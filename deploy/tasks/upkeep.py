"""What an operator changes on a running cluster: restarts, releases, secrets, nodes, backups."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import backup as backups
from deploy import clusters, nodes, passwords, plan, upkeep
from deploy.deployment import Deployment
from deploy.site import printing
from deploy.tasks.cluster import DRY_RUN
from deploy.tasks.failures import USAGE, reported
from deploy.tasks.look import CLUSTER


@task(help={"cluster": CLUSTER, "rolling": "one after the other; there is no other way"})
@reported
def restart(_context: Context, cluster: str = clusters.DEFAULT_NAME, rolling: bool = False) -> None:
    """Restart gatekeepers, proxies, then nodes, each when the one before serves again; requests go on."""
    if not rolling:
        raise Exit("say --rolling: a restart of all at once would end the service, and is not offered", code=USAGE)
    with _changing(cluster, "restarted") as deployment:
        upkeep.restart(deployment)


@task(
    help={
        "cluster": CLUSTER,
        "config": "a changed description, as with deploy: for ndb it names the new archive",
        "dry_run": DRY_RUN,
    }
)
@reported
def upgrade(
    _context: Context, cluster: str = clusters.DEFAULT_NAME, config: str | None = None, dry_run: bool = False
) -> None:
    """Bring services to this version and the engine to its newest packages or its archive, one node at a time."""
    if dry_run:
        with clusters.locked(cluster):
            deployment = clusters.known(cluster, printing())
            plan.tell(_redescribed(deployment, config, keep=False), upgrade=True)
        return
    with _changing(cluster, "upgraded", config) as deployment:
        upkeep.upgrade(deployment)


@task(help={"cluster": CLUSTER})
@reported
def rollback(_context: Context, cluster: str = clusters.DEFAULT_NAME) -> None:
    """Switch the services back to the release before; once more, and forward again."""
    with _changing(cluster, "rolled back") as deployment:
        upkeep.rollback(deployment)


@task(name="rotate-certificates", help={"cluster": CLUSTER, "edge": "nginx's own too: clients must trust the new one"})
@reported
def rotate_certificates(_context: Context, cluster: str = clusters.DEFAULT_NAME, edge: bool = False) -> None:
    """Give every service, and every node of ndb, a new key and certificate, one after the other."""
    with _changing(cluster, "certificates rotated") as deployment:
        upkeep.rotate_certificates(deployment, with_edge=edge)


@task(name="rotate-passwords", help={"cluster": CLUSTER})
@reported
def rotate_passwords(_context: Context, cluster: str = clusters.DEFAULT_NAME) -> None:
    """Make new database accounts, have the proxies use them, and drop the old ones."""
    with _changing(cluster, "passwords rotated") as deployment:
        passwords.rotate(deployment)


@task(
    name="add-data-nodes",
    help={
        "count": "so many more (default: 1)",
        "to": "so many in all, instead; the same again completes what was cut off",
        "cluster": CLUSTER,
        "dry_run": DRY_RUN,
    },
)
@reported
def add_data_nodes(
    _context: Context, count: int = 1, to: int = 0, cluster: str = clusters.DEFAULT_NAME, dry_run: bool = False
) -> None:
    """Make more data nodes and have the cluster fill them; with ndb a multiple of the replicas."""
    if dry_run:
        with clusters.locked(cluster):
            nodes.planned(clusters.known(cluster, printing()), count=count, to=to)
        return
    with _changing(cluster, "data nodes added") as deployment:
        if to:
            nodes.grow(deployment, to)
        else:
            nodes.add(deployment, count)


@task(name="remove-node", help={"name": "the last data node", "cluster": CLUSTER})
@reported
def remove_node(_context: Context, name: str, cluster: str = clusters.DEFAULT_NAME) -> None:
    """Take a data node out of the cluster and remove its machine."""
    with _changing(cluster, f"{name} removed") as deployment:
        nodes.remove(deployment, name)


@task(help={"to": "the directory to make the backup's own in (default: var/backups)", "cluster": CLUSTER})
@reported
def backup(_context: Context, to: str | None = None, cluster: str = clusters.DEFAULT_NAME) -> None:
    """Bring the application's schemas to this machine, with a manifest of rows and checksums."""
    with _changing(cluster, "backed up") as deployment:
        made = backups.make(deployment, Path(to) if to else clusters.VAR / "backups")
        unverified = backups.read(made).unverified
    if unverified:
        print(f"written meanwhile, so without a checksum: {', '.join(unverified)}")
    print(made)


@task(
    help={
        "source": "the backup's directory",
        "cluster": CLUSTER,
        "yes": "the cluster's name again, instead of being asked for it",
    },
)
@reported
def restore(_context: Context, source: str, cluster: str = clusters.DEFAULT_NAME, yes: str = "") -> None:
    """Replace the schemas of a backup by what it holds, and verify every table. Asks for the cluster's name."""
    directory = Path(source)
    with _changing(cluster, "restored") as deployment:
        manifest = backups.read(directory)
        backups.check_fits(cluster, deployment.cluster, manifest)
        print(
            f"This replaces {', '.join(manifest.schemas)} by what {manifest.cluster} had at {manifest.began:%F %T} UTC"
        )
        if (yes or input(f"Type the cluster's name ({cluster}) to go on: ")) != cluster:
            raise Exit("not the cluster's name; nothing was changed", code=USAGE)
        backups.restore(deployment, directory, manifest)


@contextmanager
def _changing(name: str, done: str, config: str | None = None) -> Iterator[Deployment]:
    """The cluster, kept from other commands meanwhile; says at the end what was done and how long it took."""
    say, began = printing(), time.monotonic()
    with clusters.locked(name):
        deployment = clusters.known(name, say)
        yield _redescribed(deployment, config)
    say(name, f"{done} in {time.monotonic() - began:.0f} s")


def _redescribed(deployment: Deployment, config: str | None, *, keep: bool = True) -> Deployment:
    if not config:
        return deployment
    return clusters.described(deployment.name, deployment.say, config=Path(config), keep=keep)
