"""The rental schema as Django sees it, and its MySQL backend speaking to the gateway through the DB-API.

Importing this configures Django for the whole process, with PyMySQL in the place of mysqlclient, which Django's backend
imports and which is never asked to connect.
"""

# mypy: disable-error-code="import-untyped"
# Django ships no types.

from typing import Any

import django
import pymysql
from django.conf import settings
from django.db import connections

from client import dbapi

pymysql.install_as_MySQLdb()

ALIAS = "default"

# What Django would ask the server at connect, which a policy does not answer: django.db.backends.mysql.base.
_SERVERS: dict[str, str] = {"mariadb": "10.11.6-MariaDB", "mysql": "9.4.0"}

settings.configure(
    INSTALLED_APPS=["tests.live"],  # what orm_django_models is in, else relations are not seen backwards
    USE_TZ=False,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={ALIAS: {"ENGINE": "django.db.backends.mysql", "NAME": "rental"}},
)
django.setup()


def speak_through(connection: dbapi.Connection, flavour: str) -> None:
    """Let Django's models use the connection from now on, as an application of flavour `mysql` or `mariadb` would."""
    connections[ALIAS].close()
    del connections[ALIAS]
    wrapper: Any = connections[ALIAS]
    wrapper.mysql_server_data = {
        "version": _SERVERS[flavour],
        "sql_mode": "STRICT_TRANS_TABLES",
        "default_storage_engine": "InnoDB",
        "sql_auto_is_null": False,
        "lower_case_table_names": False,
        "has_zoneinfo_database": False,
    }
    wrapper.features.has_zoneinfo_database = False
    wrapper.get_new_connection = lambda _params: connection
    wrapper.init_connection_state = lambda: None
    wrapper._set_autocommit = lambda _value: None  # the gateway commits each statement, Django's default as well
