"""A store and warehouses to try things on."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from schemas.tables import LOG
from sinks.warehouse.bigquery import BigQuery
from sinks.warehouse.duckdb import DuckDB
from sinks.warehouse.engine import Engine
from sinks.warehouse.snowflake import Snowflake
from tests.resolver.histories import Pair

_CLOUD = ("bigquery", "snowflake")
_SERVICES = [pytest.param(each, marks=pytest.mark.services) for each in _CLOUD]
_SOAK = [pytest.param(each, marks=[pytest.mark.services, pytest.mark.soak]) for each in _CLOUD]


@pytest.fixture
def pair(client: "redis.Redis") -> Pair:
    """An empty store beside an empty reference."""
    return Pair(client)


@pytest.fixture(params=["duckdb", *_SERVICES])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Give a warehouse of the test's own: DuckDB always, the others where their emulators run."""
    with closing(_engine(request)) as warehouse:
        warehouse.create(LOG)
        yield warehouse


@pytest.fixture(params=["duckdb", *_SOAK])
def patient_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The same, for what takes the emulators long."""
    with closing(_engine(request)) as warehouse:
        warehouse.create(LOG)
        yield warehouse


@pytest.fixture
def duckdb() -> Iterator[Engine]:
    """Give a DuckDB of the test's own, for what needs not be seen on every engine."""
    with closing(DuckDB(Path(":memory:"))) as warehouse:
        yield warehouse


def _engine(request: pytest.FixtureRequest) -> Engine:
    name = f"nexus_{uuid4().hex[:12]}"
    match request.param:
        case "bigquery":
            endpoint = request.getfixturevalue("bigquery_server").endpoint
            return BigQuery("nexus", name, endpoint=endpoint, patience_s=60)
        case "snowflake":
            connection = request.getfixturevalue("snowflake_server").connection
            return Snowflake(name, "nexus", patience_s=60, **connection)
    return DuckDB(Path(":memory:"))
