"""Gatekeeper for MySQL Cluster: the operator's tasks. `fab --help TASK` tells a task's options."""

from invoke.collection import Collection

from benchmark.sysbench import tasks as sysbench
from deploy.tasks import cluster, console, local, look, rehearse, upkeep

namespace = Collection(local)
for task in (
    *(cluster.deploy, cluster.destroy, rehearse.rehearse),
    console.console,
    *(look.status, look.inventory, look.ssh, look.logs, look.query, look.cost),
    *(upkeep.restart, upkeep.upgrade, upkeep.rollback, upkeep.rotate_certificates, upkeep.rotate_passwords),
    *(upkeep.add_data_nodes, upkeep.remove_node, upkeep.backup, upkeep.restore),
):
    namespace.add_task(task)
namespace.add_collection(sysbench.namespace)
