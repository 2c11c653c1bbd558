"""The accounts in the servers: each can do the work of its effect and nothing else."""

from collections.abc import Iterator

import pymysql
import pytest

from deploy.engines.mariadb import GRANTS
from tests.live.cluster_fixtures import LiveCluster

SCHEMA = "gk_accounts"
OF_THE_APPLICATION = [name for name, grant in GRANTS.items() if grant.rights]
_OBJECTS = (
    "CREATE TABLE gk_accounts.t (id INT PRIMARY KEY AUTO_INCREMENT, a INT)",
    "CREATE TABLE gk_accounts.u (id INT PRIMARY KEY, t_id INT)",
    "CREATE TABLE gk_accounts.p (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2",
    "CREATE VIEW gk_accounts.v AS SELECT id FROM gk_accounts.t",
    "CREATE FUNCTION gk_accounts.f() RETURNS INT DETERMINISTIC RETURN 1",
    "CREATE PROCEDURE gk_accounts.as_caller() SQL SECURITY INVOKER UPDATE t SET a = 1",
    "CREATE PROCEDURE gk_accounts.as_definer() UPDATE t SET a = 1",
    "CREATE PROCEDURE gk_accounts.ddl_as_caller() SQL SECURITY INVOKER DROP TABLE t",
    "INSERT INTO gk_accounts.t VALUES (1, 1)",
)

# statement: the error of the reader, the writer, the caller and the builder, 0 where it is allowed.
# 1044 no right on the schema, 1142 on the table, 1370 on the routine, 1227 on the server, 1419 on triggers.
STATEMENTS = {
    "SELECT 1": (0, 0, 0, 0),
    "SELECT a FROM t": (0, 0, 0, 1142),
    "SELECT COUNT(*) FROM t": (0, 0, 0, 1142),
    "SHOW CREATE TABLE t": (0, 0, 0, 0),
    "INSERT INTO t (a) VALUES (3)": (1142, 0, 0, 0),
    "REPLACE INTO t VALUES (1, 3)": (1142, 0, 0, 1142),
    "UPDATE t SET a = 2": (1142, 0, 0, 1142),
    "UPDATE t SET a = 2 WHERE id = 1": (1142, 0, 0, 1142),
    "DELETE FROM t WHERE id = 1": (1142, 0, 0, 1142),
    "DELETE FROM t": (1142, 0, 0, 1142),
    "SELECT f()": (1370, 1370, 0, 1370),
    "CALL as_caller()": (1370, 1370, 0, 1370),
    "CALL as_definer()": (1370, 1370, 0, 1370),
    "CALL ddl_as_caller()": (1370, 1370, 1142, 1370),
    "CREATE TABLE n (id INT PRIMARY KEY)": (1142, 1142, 1142, 0),
    "CREATE TABLE IF NOT EXISTS t (id INT)": (1142, 1142, 1142, 0),
    "CREATE OR REPLACE TABLE u (id INT PRIMARY KEY)": (1142, 1142, 1142, 0),
    "CREATE TABLE n (id INT PRIMARY KEY, t_id INT REFERENCES t (id))": (1142, 1142, 1142, 0),
    "CREATE TABLE n (id INT PRIMARY KEY, u_id INT, FOREIGN KEY (u_id) REFERENCES u (id))": (1142, 1142, 1142, 0),
    "CREATE TABLE n LIKE t": (1142, 1142, 1142, 1142),
    "CREATE TABLE n AS SELECT * FROM t": (1142, 1142, 1142, 1142),
    "CREATE TABLE n AS SELECT 1 AS a": (1142, 1142, 1142, 0),
    "CREATE TEMPORARY TABLE n (id INT)": (1044, 1044, 1044, 1044),
    "ALTER TABLE t ADD COLUMN b INT, DROP COLUMN a": (1142, 1142, 1142, 0),
    "ALTER TABLE t MODIFY a BIGINT NOT NULL": (1142, 1142, 1142, 0),
    "ALTER TABLE u ADD CONSTRAINT fk FOREIGN KEY (t_id) REFERENCES t (id)": (1142, 1142, 1142, 0),
    "ALTER TABLE u RENAME TO n": (1142, 1142, 1142, 0),
    "ALTER TABLE p TRUNCATE PARTITION p0": (1142, 1142, 1142, 0),
    "ALTER TABLE p EXCHANGE PARTITION p0 WITH TABLE u": (1142, 1142, 1142, 1736),
    "RENAME TABLE u TO n": (1142, 1142, 1142, 0),
    "CREATE INDEX i ON t (a)": (1142, 1142, 1142, 0),
    "DROP INDEX `PRIMARY` ON u": (1142, 1142, 1142, 0),
    "TRUNCATE TABLE t": (1142, 1142, 1142, 0),
    "DROP TABLE u": (1142, 1142, 1142, 0),
    "DROP VIEW v": (1142, 1142, 1142, 0),
    "CREATE VIEW n AS SELECT id FROM t": (1142, 1142, 1142, 1142),
    "CREATE OR REPLACE VIEW v AS SELECT 1 AS id": (1142, 1142, 1142, 1142),
    "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1": (1419, 1419, 1419, 1419),
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t": (1044, 1044, 1044, 1044),
    "CREATE PROCEDURE n() DELETE FROM t": (1044, 1044, 1044, 1044),
    "CREATE FUNCTION n() RETURNS INT DETERMINISTIC RETURN 1": (1044, 1044, 1044, 1044),
    "ALTER PROCEDURE as_caller SQL SECURITY DEFINER": (1370, 1370, 1370, 1370),
    "DROP PROCEDURE as_caller": (1370, 1370, 1370, 1370),
    "LOCK TABLES t WRITE": (1044, 1044, 1044, 1044),
    "CREATE DATABASE another": (1044, 1044, 1044, 1044),
    "DROP DATABASE rental2": (1044, 1044, 1044, 1044),
    "CREATE TABLE mysql.n (id INT)": (1142, 1142, 1142, 1142),
    "SELECT * FROM mysql.global_priv": (1142, 1142, 1142, 1142),
    "GRANT SELECT ON gk_accounts.* TO gk_reader@'127.0.0.1'": (1044, 1044, 1044, 1044),
    "CREATE USER another": (1227, 1227, 1227, 1227),
    "SET PASSWORD FOR root@localhost = PASSWORD('x')": (1044, 1044, 1044, 1044),
    "SET GLOBAL max_connections = 1": (1227, 1227, 1227, 1227),
    "SELECT 1 INTO OUTFILE '/tmp/gatekeeper-must-not-write'": (1227, 1227, 1227, 1227),
    "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')": (1227, 1227, 1227, 1227),
}


@pytest.fixture(scope="module")
def schema(cluster: LiveCluster) -> Iterator[LiveCluster]:
    """The cluster with a schema that the accounts have their rights on."""
    with cluster.open_to_the_accounts(SCHEMA):
        fill(cluster)
        yield cluster
    cluster.run_all((f"DROP DATABASE {SCHEMA}",))


def fill(cluster: LiveCluster) -> None:
    """Makes the schema anew."""
    cluster.run_all((f"DROP DATABASE IF EXISTS {SCHEMA}", f"CREATE DATABASE {SCHEMA}", *_OBJECTS))


@pytest.mark.parametrize(("statement", "errors"), STATEMENTS.items(), ids=STATEMENTS)
def test_each_account_can_do_its_work_and_nothing_else(
    schema: LiveCluster, statement: str, errors: tuple[int, ...]
) -> None:
    found = {name: error_of(schema, name, statement) for name in OF_THE_APPLICATION}
    if 0 in found.values() and not statement.startswith(("SELECT", "SHOW")):
        fill(schema)
    assert found == dict(zip(OF_THE_APPLICATION, errors, strict=True))


QUEUE = {
    "SELECT id FROM requests": 0,
    "SELECT body FROM results": 0,
    "UPDATE requests SET turn = 1 WHERE id = ''": 0,
    "DELETE FROM results WHERE id = ''": 0,
    "DELETE FROM kept WHERE id = ''": 0,
    "SELECT title FROM rental.film": 1142,
    "INSERT INTO rental.language VALUES ()": 1142,
    "CREATE TABLE another (id INT)": 1142,
    "ALTER TABLE requests ADD COLUMN a INT": 1142,
    "DROP TABLE results": 1142,
    "TRUNCATE TABLE requests": 1142,
    "SELECT * FROM mysql.global_priv": 1142,
}


@pytest.mark.parametrize(("statement", "error"), QUEUE.items(), ids=QUEUE)
def test_the_queues_account_has_its_own_tables_alone(cluster: LiveCluster, statement: str, error: int) -> None:
    assert error_of(cluster, "queue", statement, "gatekeeper") == error


@pytest.mark.parametrize("name", OF_THE_APPLICATION)
def test_no_other_account_sees_the_queue(cluster: LiveCluster, name: str) -> None:
    assert error_of(cluster, name, "SELECT body FROM gatekeeper.requests", "rental") == 1142


def error_of(cluster: LiveCluster, name: str, statement: str, database: str = SCHEMA) -> int:
    """The server's error for the statement under the account, 0 when there is none."""
    server, accounts = cluster.node("manager"), cluster.accounts
    with (
        pymysql.connect(
            host=server.address,
            port=server.mysql_port,
            user=accounts[f"{name}_user"],
            password=accounts[f"{name}_password"],
            database=database,
            autocommit=True,
        ) as connection,
        connection.cursor() as cursor,
    ):
        try:
            cursor.execute(statement)
        except pymysql.MySQLError as error:
            return int(error.args[0])
        return 0
