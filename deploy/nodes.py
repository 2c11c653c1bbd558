"""Data nodes that come, and data nodes that go: the description changes, and `deploy` does the rest."""

from deploy import clusters
from deploy.cluster import Cluster, ClusterError
from deploy.deployment import Deployment, deploy, drained
from deploy.providers.state import UnknownNode
from deploy.site import Site
from deploy.upkeep import whole

_NOT_BUILT = (
    "with ndb the number of data nodes can't be changed yet: make a cluster with as many as are wanted, and restore a"
    " backup into it"
)


def add(deployment: Deployment, count: int) -> Site:
    """So many data nodes more. Raises ClusterError, NotWhole and what `deploy` raises.

    What was cut off is completed by `deploy`.
    """
    _check_engine(deployment.cluster)
    if count < 1:
        raise ClusterError(f"{count} data nodes can't be added; say 1 or more")
    whole(deployment)
    return deploy(clusters.with_data_nodes(deployment, deployment.cluster.machines.data.count + count))


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
    _check_engine(cluster)
    nodes = [wanted.name for wanted in cluster.wanted() if wanted.role == "data"]
    if name not in nodes:
        raise UnknownNode(f"{name!r} is no data node; they are {', '.join(nodes)}")
    if name != nodes[-1]:
        raise ClusterError(f"data nodes are numbered without gaps: only the last one, {nodes[-1]}, can be removed")
    if len(nodes) <= 2:
        raise ClusterError("two data nodes must stay: with one the cluster would not outlive a node")


def _check_engine(cluster: Cluster) -> None:
    if cluster.engine == "ndb":
        raise ClusterError(_NOT_BUILT)
