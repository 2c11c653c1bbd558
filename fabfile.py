"""Gatekeeper for MySQL Cluster: the operator's tasks. `fab --help TASK` tells a task's options."""

from invoke.collection import Collection

from deploy.tasks import local

namespace = Collection(local)
