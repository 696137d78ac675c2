"""The warehouses, behind one face: DuckDB always, BigQuery and Snowflake where their emulators run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from sinks.warehouse.bigquery import BigQuery
from sinks.warehouse.duckdb import DuckDB
from sinks.warehouse.engine import Engine
from sinks.warehouse.snowflake import Snowflake
from tests.services import BigQueryServer, SnowflakeServer

REQUEST_S = 30  # a machine that is busy answers late; what is sent twice, an emulator does twice
PATIENCE_S = 40
SERVICES = pytest.mark.services
KINDS = ["duckdb", pytest.param("bigquery", marks=SERVICES), pytest.param("snowflake", marks=SERVICES)]


class Connect(Protocol):
    """Connects to the schema that the test has for itself, through another port if it wants."""

    def __call__(self, port: int | None = None) -> Engine: ...


@pytest.fixture(params=KINDS)
def connect(request: pytest.FixtureRequest) -> Connect:
    """Connect to each warehouse in turn."""
    found: Connect = request.getfixturevalue(f"connect_{request.param}")
    return found


@pytest.fixture
def connect_duckdb(tmp_path: Path) -> Iterator[Connect]:
    """A file."""
    with ExitStack() as stack:

        def connect(port: int | None = None) -> Engine:
            assert port is None, "a file has none"
            return stack.enter_context(closing(DuckDB(tmp_path / "warehouse.duckdb")))

        yield connect


@pytest.fixture
def connect_bigquery(bigquery_server: BigQueryServer) -> Iterator[Connect]:
    """A dataset in the emulator."""
    dataset = f"nexus_{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:

        def connect(port: int | None = None) -> Engine:
            endpoint = f"http://127.0.0.1:{port or bigquery_server.port}"
            engine = BigQuery("nexus", dataset, endpoint=endpoint, patience_s=PATIENCE_S, request_s=REQUEST_S)
            return stack.enter_context(closing(engine))

        yield connect


@pytest.fixture
def connect_snowflake(snowflake_server: SnowflakeServer) -> Iterator[Connect]:
    """A schema in the emulator, in a database of its own."""
    database = f"nexus_{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:

        def connect(port: int | None = None) -> Engine:
            address: dict[str, Any] = {**snowflake_server.connection}
            address["port"] = port or address["port"]
            engine = Snowflake(database, "nexus", patience_s=PATIENCE_S, request_s=REQUEST_S, **address)
            return stack.enter_context(closing(engine))

        yield connect


@pytest.fixture
def engine(connect: Connect) -> Engine:
    """Give each warehouse in turn, with nothing in it."""
    return connect()
