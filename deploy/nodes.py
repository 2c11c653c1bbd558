"""Data nodes that come, and data nodes that go: the description changes, and `deploy` does the rest."""

from deploy import clusters, plan
from deploy.cluster import Cluster, ClusterError
from deploy.deployment import Deployment, deploy, drained
from deploy.providers.state import UnknownNode
from deploy.site import Site
from deploy.upkeep import whole

_STAYS = (
    "a data node of ndb can't be removed, because node groups hold the rows: to have fewer, fab backup, fab destroy,"
    " fab deploy with a description that says fewer, fab restore"
)


def add(deployment: Deployment, count: int) -> Site:
    """So many data nodes more. Raises ClusterError, NotWhole and what `deploy` raises.

    What was cut off is completed by `grow`, or by `deploy`.
    """
    return grow(deployment, total_with(deployment.cluster, count))


def grow(deployment: Deployment, total: int) -> Site:
    """So many data nodes in all; the same number again completes what was cut off.

    Raises ClusterError, NotWhole and what `deploy` raises.
    """
    now = deployment.cluster.machines.data.count
    check_total(deployment.cluster, total)
    if total == now:
        return deploy(deployment)
    whole(deployment)
    return deploy(clusters.with_data_nodes(deployment, total))


def check_total(cluster: Cluster, total: int) -> None:
    """Raises ClusterError for a number of data nodes that the cluster can't grow to."""
    now = cluster.machines.data.count
    if total < now:
        raise ClusterError(f"there are {now} data nodes, and adding can't make them {total}: see fab remove-node")
    if cluster.engine == "ndb" and total % cluster.copies:
        raise ClusterError(f"{total} data nodes can't be divided into groups of {cluster.copies} (replicas)")


def total_with(cluster: Cluster, count: int) -> int:
    """How many data nodes there are with so many more. Raises ClusterError for none."""
    if count < 1:
        raise ClusterError(f"{count} data nodes can't be added; say 1 or more")
    return cluster.machines.data.count + count


def planned(deployment: Deployment, *, count: int, to: int) -> None:
    """Says what `grow` to that number would do, or without one `add`. Raises ClusterError, and what `tell` raises."""
    total = to or total_with(deployment.cluster, count)
    check_total(deployment.cluster, total)
    plan.tell(clusters.with_data_nodes(deployment, total, keep=False))


def remove(deployment: Deployment, name: str) -> Site:
    """Takes a data node out: drained, stopped, its machine destroyed; then the others are told.

    Raises ClusterError, UnknownNode, NotWhole and what `deploy` raises. Until the machine is destroyed, `deploy` brings
    the node back; from then on `deploy` would make it anew, until the description has one less.
    """
    check_removable(deployment.cluster, name)
    site = whole(deployment)
    host = site.hosts[name]
    with drained(site, deployment.engine, host, for_good=True):
        for unit in deployment.engine.units(host.machine.role):
            host.sudo(f"systemctl --quiet disable --now {unit}", timeout_s=300)
        site.say(name, "stopped")
        host.close()
        deployment.provider.destroy(deployment.say, [name])
    return deploy(clusters.with_data_nodes(deployment, deployment.cluster.machines.data.count - 1))


def check_removable(cluster: Cluster, name: str) -> None:
    """Raises ClusterError or UnknownNode for a node that can't be taken out."""
    if cluster.engine == "ndb":
        raise ClusterError(_STAYS)
    nodes = [wanted.name for wanted in cluster.wanted() if wanted.role == "data"]
    if name not in nodes:
        raise UnknownNode(f"{name!r} is no data node; they are {', '.join(nodes)}")
    if name != nodes[-1]:
        raise ClusterError(f"data nodes are numbered without gaps: only the last one, {nodes[-1]}, can be removed")
    if len(nodes) <= 2:
        raise ClusterError("two data nodes must stay: with one the cluster would not outlive a node")
