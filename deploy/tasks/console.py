"""The operators' console in a browser on this machine, of the local system or of a cluster on machines."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from invoke.context import Context
from invoke.tasks import task

from deploy import clusters
from deploy.certificates import Credentials
from deploy.console import ADDRESS, OPERATOR, forwarder
from deploy.firewall import ORCHESTRATOR_PORT
from deploy.host import Host, HostError
from deploy.ports import Ports
from deploy.site import printing
from deploy.tasks.failures import reported


@task(help={"cluster": "the cluster's name (default: main)"})
@reported
def console(_context: Context, cluster: str = clusters.DEFAULT_NAME) -> None:
    """Open the operators' console: prints a link for a browser on this machine, and serves it until Ctrl-C."""
    deployment = clusters.known(cluster, printing())
    credentials = deployment.material.issue("operator", OPERATOR)
    with _tunnel(deployment.site().of("orchestrator")) as url:
        serve_console([url], credentials)


def serve_console(urls: Sequence[str], credentials: Credentials) -> None:
    """Serves the console of the orchestrators at these URLs until the program is interrupted."""
    serving = forwarder(urls, credentials)
    print(
        f"Open this link in a browser on this machine, once, within 10 minutes:\n\n  {serving.url}\n\n"
        f"From another machine, lead its port here first: ssh -L {serving.port}:{ADDRESS}:{serving.port} THIS_MACHINE\n"
        "Ctrl-C ends it, and what the link has opened.",
        flush=True,
    )
    serving.serve()


@contextmanager
def _tunnel(hosts: Sequence[Host]) -> Iterator[str]:
    """A URL that leads to the first orchestrator whose machine is reached, by SSH. Raises HostError."""
    failure = HostError("the cluster has no orchestrator")
    for host in hosts:
        try:
            connection = host.connection()
        except HostError as error:
            failure = error
            continue
        with Ports(ADDRESS) as ports:
            port = ports.take()
            to = host.machine.private_ip_address
            with connection.forward_local(port, ORCHESTRATOR_PORT, to, ADDRESS):
                yield f"https://{ADDRESS}:{port}"
        return
    raise failure
