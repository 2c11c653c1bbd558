"""The processes of services that a supervisord runs."""

from deploy import supervision
from deploy.services import Services


def roots(services: Services) -> dict[str, list[int]]:
    """The main process of each service, by role."""
    found: dict[str, list[int]] = {}
    for status in supervision.statuses(services):
        if status.pid:
            found.setdefault(status.role, []).append(status.pid)
    return found
