"""What stands in for the warehouses starts, answers the vendors' own clients, and stops."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import unavailable
from tests.services import BigQueryServer, Missing, SnowflakeServer, refusals

pytestmark = pytest.mark.services

DESCENT = """
with recursive descent as (
    select 1 as depth
    union all
    select depth + 1 from descent where depth < 5
)
select max(depth) from descent
"""


def test_bigquerys_client_is_answered(bigquery_server: BigQueryServer) -> None:
    """Google's client runs a recursive CTE."""
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    options = ClientOptions(api_endpoint=bigquery_server.endpoint)
    credentials = AnonymousCredentials()
    with bigquery.Client("nexus", credentials, client_options=options) as client:
        rows = client.query(DESCENT, timeout=30).result(timeout=30)
        assert [tuple(row) for row in rows] == [(5,)]


def test_snowflakes_connector_is_answered(snowflake_server: SnowflakeServer) -> None:
    """Snowflake's connector runs a recursive CTE."""
    from snowflake.connector import connect

    connection = connect(**snowflake_server.connection, login_timeout=30, network_timeout=30)
    try:
        with connection.cursor() as cursor:
            cursor.execute(DESCENT, timeout=30)
            assert cursor.fetchall() == [(5,)]
    finally:
        connection.close()


@pytest.mark.timeout(500)
def test_googles_analyzer_answers() -> None:
    """The analyzer takes a recursive CTE over a table made before, and refuses what BigQuery refuses."""
    statements = [
        "create table nodes (name string not null, since timestamp) partition by timestamp_trunc(since, day)",
        DESCENT.replace("select 1 as depth", "select count(*) as depth from nodes"),
        "select name::int64 from nodes",
        "select nobody from nodes",
    ]
    try:
        found = refusals(statements)
    except Missing as missing:
        unavailable(missing)
    assert found[:2] == [None, None]
    assert "Syntax error" in str(found[2])
    assert "Unrecognized name: nobody" in str(found[3])


@pytest.mark.parametrize("emulator", [BigQueryServer, SnowflakeServer])
def test_an_emulator_stops(emulator: type[BigQueryServer] | type[SnowflakeServer], tmp_path: Path) -> None:
    """After `stop` the process is gone and nobody answers."""
    try:
        server = emulator(tmp_path)
    except Missing as missing:
        unavailable(missing)
    with server:
        assert server.answers()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
    assert not server.answers()
