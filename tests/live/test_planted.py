"""What requests carry stands in no log: not of the services, the nodes or nginx, however the request ends.

The end of the run looks again, through everything that was logged in it (tests/planted.py, tests/live/conftest.py).
"""

from urllib.parse import quote

import pytest

from deploy.providers.state import Place
from tests.live.nginx_fixtures import LiveNginx, needs_nginx, plain_edge
from tests.live.proxy_fixtures import wait_until
from tests.live.raw_http import exchange, statuses
from tests.live.system_fixtures import LiveSystem
from tests.planted import MARKERS, found, secrets_in

__all__ = ["plain_edge"]

PARAMETER, LITERAL, WRONG_KEY = (MARKERS[name] for name in ("a parameter", "a literal", "a wrong key"))
INSERT = "INSERT INTO language (language_id, name, last_update) VALUES (?, ?, ?)"
BODIES = {
    "read": ({"query": "SELECT ? AS x", "params": [PARAMETER]}, 200),
    "literal": ({"query": f"SELECT '{LITERAL}' AS x"}, 200),
    "refused": ({"query": f"SELECT password FROM staff WHERE username = '{LITERAL}'"}, 403),
    "unclosed": ({"query": f"SELECT '{LITERAL}"}, 403),
    "unparsable": ({"query": f"SELECT FROM film WHERE '{LITERAL}'"}, 422),
    "database-error": ({"query": "SELECT title REGEXP ? FROM film", "params": [PARAMETER + "["]}, 422),
    "failed-write": ({"query": INSERT, "params": [1, PARAMETER, PARAMETER]}, 422),
    "misfit": ({"query": "SELECT 1", "params": [PARAMETER]}, 400),
    "unknown-member": ({"query": "SELECT 1", PARAMETER: 1}, 400),
    "implementation": ({"query": "SELECT 1", "implementation": PARAMETER}, 400),
}


def test_the_secrets_of_a_system_are_known_to_the_check_at_the_end(system: LiveSystem) -> None:
    name, accounts = system.files.directory.name, Place(system.files.directory).accounts
    assert secrets_in("x", system.key.encode()) == [f"demo-key of {name} stands in x"]
    known = secrets_in("x", accounts.read_bytes())
    assert f"reader_password of {name} stands in x" in known
    assert len(known) == sum("password" in line for line in accounts.read_text().splitlines())
    private_key = Place(system.files.directory).private_key
    assert secrets_in("x", private_key.read_bytes()) == [f"{private_key.name} of {name} stands in x"]


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_the_values_of_a_statement_are_not_logged(system: LiveSystem, body: dict[str, object], status: int) -> None:
    assert system.send(json=body).status_code == status
    assert_logged_nothing(system)


def test_the_statement_of_a_get_is_not_logged(system: LiveSystem) -> None:
    statement = quote(f"SELECT '{LITERAL}'")
    assert system.send("GET", f"/endpoint?query={statement}").status_code == 200
    assert_logged_nothing(system)


def test_a_wrong_key_is_not_logged(system: LiveSystem) -> None:
    assert system.send(key=WRONG_KEY, json={"query": "SELECT 1"}).status_code == 401
    assert_logged_nothing(system)


ODD = {
    "no-colon": "GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization Bearer KEY\r\n\r\n",
    "line": "GET /endpoint?query=LITERAL x HTTP/1.1\r\nHost: x\r\n\r\n",
    "method": "LITERAL /endpoint HTTP/1.1\r\nHost: x\r\n\r\n",
    "header": "GET /healthz HTTP/1.1\r\nHost: x\r\nX_LITERAL: KEY\r\n\r\n",
    "value": "GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\x00\r\n\r\n",
    "chunk": "POST /endpoint HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nContent-Type: application/json\r\n"
    "Transfer-Encoding: chunked\r\n\r\nLITERAL\r\n",
}


@pytest.mark.parametrize("through", ["gunicorn", pytest.param("nginx", marks=needs_nginx)])
@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
def test_what_can_not_be_read_is_not_quoted(
    system: LiveSystem, request: pytest.FixtureRequest, through: str, sent: str
) -> None:
    live: LiveNginx | None = request.getfixturevalue("plain_edge") if through == "nginx" else None
    address = live.address if live else system.services.gatekeeper.listen
    received = exchange(address, sent.replace("KEY", system.key).replace("LITERAL", LITERAL).encode())
    assert len(statuses(received)) == 1
    assert LITERAL.encode() not in received
    assert_logged_nothing(system, live.logs() if live else "")


def assert_logged_nothing(system: LiveSystem, more: str = "") -> None:
    """Once everything before it is in the log."""
    last = system.send("GET", "/endpoint?query=SELECT+1").headers["X-Request-ID"]
    wait_until(lambda: last in system.logs())
    planted = {name: value.encode() for name, value in MARKERS.items()} | {"the key": system.key.encode()}
    assert found(planted, [("the logs", (system.logs() + more).encode())]) == []
