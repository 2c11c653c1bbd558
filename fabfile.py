"""Gatekeeper for MySQL Cluster: the operator's tasks. `fab --help TASK` tells a task's options."""

from invoke.collection import Collection

from deploy.tasks import cluster, local, rehearse

namespace = Collection(local)
for task in (cluster.deploy, cluster.destroy, rehearse.rehearse):
    namespace.add_task(task)
