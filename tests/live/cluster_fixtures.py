"""A local cluster for live tests: started once for all of them, on addresses of its own, and always taken down."""

import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.inventory import Machine
from contract.messages import OWN_SCHEMA
from deploy.engines.interface import Server
from deploy.engines.mariadb import Accounts, account_statements
from deploy.providers import loopback
from deploy.providers.loopback import NodeRow, Settings
from deploy.providers.seed import Seed
from deploy.providers.servers import AdminConnection
from deploy.providers.state import Cluster, Place

_VAR = Path(__file__).parents[2] / "var"
CACHE = _VAR / "cache"
KEPT_LOGS = _VAR / "test-logs"


class LiveCluster:
    """A cluster, in the words that tests use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.directory = settings.directory
        self.place = Place(settings.directory)

    @property
    def description(self) -> Cluster:
        return self.place.load()

    @property
    def accounts(self) -> dict[str, str]:
        return tomllib.loads(self.place.accounts.read_text())

    def machine(self, name: str) -> Machine:
        return next(machine for machine in loopback.machines(self.directory) if machine.name == name)

    def node(self, name: str) -> Server:
        return self.description.node(name)

    def up(self) -> None:
        loopback.up(self.settings)

    def down(self) -> bool:
        return loopback.down(self.directory)

    def kill(self, *names: str, ssh: bool = False) -> None:
        for name in names:
            loopback.kill(self.directory, name, ssh=ssh)

    def start(self, name: str) -> None:
        loopback.start(self.directory, name)

    def status(self) -> dict[str, NodeRow]:
        return {row.name: row for row in loopback.status(self.directory)}

    def connect(self, name: str) -> AdminConnection:
        return loopback.connect(self.directory, name)

    def run(self, name: str, statement: str) -> tuple[tuple[Any, ...], ...]:
        """Run a statement as the administrator, after what the other nodes committed before; commit; its rows."""
        with self.connect(name) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait = 15")
            cursor.execute(statement)
            connection.commit()
            return tuple(cursor.fetchall())

    def run_all(self, statements: Iterable[str]) -> None:
        """Run statements as the administrator, on the manager."""
        with self.connect("manager") as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    @contextmanager
    def open_to_the_accounts(self, schema: str) -> Iterator[None]:
        """Gives the application's accounts what the engine gives them on the schema, and takes it away again."""
        statements = account_statements(Accounts(**self.accounts), (schema,))
        own = f"`{OWN_SCHEMA}`."
        grants = [statement for statement in statements if statement.startswith("GRANT") and own not in statement]
        self.run_all(grants)
        try:
            yield
        finally:
            self.run_all(re.sub(r"^GRANT (.*) TO ", r"REVOKE \1 FROM ", grant) for grant in grants)

    def keep_logs(self, under: Path) -> None:
        """Copy the logs of servers and sshds to where the end of the cluster doesn't reach them."""
        for server in self.description.nodes:
            target = under / server.name
            target.mkdir(parents=True, exist_ok=True)
            for log in Path(server.directory).glob("*.log"):
                shutil.copy(log, target)


@pytest.fixture(scope="session")
def cluster_seed() -> Seed:
    """What the cluster holds from the start; a conftest.py that wants the sample database overrides this."""
    return Seed()


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cluster_seed: Seed
) -> Iterator[LiveCluster]:
    """Four Galera nodes. A test that stops some of them starts them again."""
    live = LiveCluster(Settings(tmp_path_factory.mktemp("cluster") / "test", CACHE, seed=cluster_seed))
    live.up()
    try:
        yield live
    finally:
        if request.session.testsfailed:
            live.keep_logs(KEPT_LOGS / live.description.group)
        live.down()


def mentions(log: str, words: str) -> int:
    """How often a server's log has the words, whatever stands between them on the line."""
    return len(re.findall(words, Path(log).read_text(errors="replace")))
