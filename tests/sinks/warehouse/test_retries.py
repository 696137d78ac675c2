"""A load whose answer is lost, wherever that happens, is there once when it was tried again (trap: the commit
that nobody was told of).
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import NexusError, SinkUnavailable
from sinks.warehouse.bigquery import BigQuery
from sinks.warehouse.duckdb import DuckDB
from sinks.warehouse.snowflake import Snowflake
from tests.services import BigQueryServer, SnowflakeServer
from tests.services.server import free_port
from tests.sinks.warehouse.boxes import BOXES, box, file_of, names
from tests.sinks.warehouse.conftest import Connect
from tests.sinks.warehouse.lossy import Lossy


def replies_lost(connect: Connect, port: int, folder: Path, every: int = 1) -> int:
    """Load again and again, and lose another reply each time, `every` so many of them; how many were lost."""
    connect().create([BOXES])
    with Lossy(port) as lossy:
        for turn in count():
            files = {BOXES: file_of(folder, [box(f"box-{turn:03}")])}
            engine = connect(lossy.port)
            lossy.lose(1 + every * turn)
            with contextlib.suppress(NexusError):  # the client may have sent it again by itself
                engine.load(f"load_{turn}", files)
            is_lost = lossy.lost > 0
            lossy.lose(None)
            connect(lossy.port).load(f"load_{turn}", files)  # as another process would
            if not is_lost:
                break
    assert names(connect()) == [f"box-{n:03}" for n in range(turn + 1)]
    return turn


@pytest.mark.services
@pytest.mark.timeout(400)
def test_bigquery_loads_once_whatever_reply_is_lost(
    connect_bigquery: Connect, bigquery_server: BigQueryServer, tmp_path: Path
) -> None:
    """The emulator forgets the id of a job, so this is without its help."""
    assert replies_lost(connect_bigquery, bigquery_server.port, tmp_path) >= 6


@pytest.mark.services
@pytest.mark.timeout(400)
def test_snowflake_loads_once_whatever_reply_is_lost(
    connect_snowflake: Connect, snowflake_server: SnowflakeServer, tmp_path: Path
) -> None:
    """Whatever the connector sends again by itself."""
    assert replies_lost(connect_snowflake, snowflake_server.port, tmp_path, every=3) >= 4


@pytest.mark.services
def test_a_load_job_has_an_id_made_from_what_it_loads(connect_bigquery: Connect, tmp_path: Path) -> None:
    """The request carries it, and the same load sends the same one: BigQuery runs that job once."""
    engine = connect_bigquery()
    assert isinstance(engine, BigQuery)
    engine.create([BOXES])
    sent: list[str] = []
    hooks = engine.client._http.hooks["response"]
    hooks.append(lambda answer, **_: sent.append(str(answer.request.body)))
    file = file_of(tmp_path, [box("a")])
    engine.load("topic_0_17", {BOXES: file})
    engine.load("topic_0_17", {BOXES: file})
    requests = [request for request in sent if "nexus_boxes__topic_0_17-1" in request and "jobId" in request]
    assert len(requests) == 2


@pytest.mark.services
def test_a_load_job_that_is_known_is_not_sent_again(
    connect_bigquery: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BigQuery answers 409 to an id that it knows: the stage of that job is merged. Where the stage is gone
    since, the next id is taken.
    """
    from google.api_core.exceptions import Conflict, ServiceUnavailable

    engine = connect_bigquery()
    assert isinstance(engine, BigQuery)
    engine.create([BOXES])
    send, jobs = engine.client.load_table_from_file, dict[str, Any]()

    def as_bigquery(*given: Any, **more: Any) -> Any:
        if more["job_id"] in jobs:
            raise Conflict("Already Exists")
        return jobs.setdefault(more["job_id"], send(*given, **more))

    def away(*_given: object, **_more: object) -> None:
        raise ServiceUnavailable("away")

    monkeypatch.setattr(engine.client, "load_table_from_file", as_bigquery)
    monkeypatch.setattr(engine.client, "get_job", lambda job_id, **_: jobs[job_id])
    files = {BOXES: file_of(tmp_path, [box("a")])}
    with monkeypatch.context() as merging:
        merging.setattr(engine.client, "query", away)
        with pytest.raises(SinkUnavailable):
            engine.load("first", files)
    engine.load("first", files)
    assert [job_id[-2:] for job_id in jobs] == ["-1"]
    engine.load("first", files)
    assert [job_id[-2:] for job_id in jobs] == ["-1", "-2"]
    assert names(engine) == ["a"]


@pytest.mark.services
def test_of_two_transactions_at_once_the_second_is_tried_again(
    connect_bigquery: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BigQuery ends it with an error that another try has not."""
    from google.api_core.exceptions import BadRequest

    engine = connect_bigquery()
    assert isinstance(engine, BigQuery)
    engine.create([BOXES])
    files = {BOXES: file_of(tmp_path, [box("a")])}

    def abort(*_given: object, **_more: object) -> None:
        raise BadRequest(
            "Transaction is aborted due to concurrent update against table nexus.nexus.nexus_boxes"
        )

    with monkeypatch.context() as patched:
        patched.setattr(engine.client, "query", abort)
        with pytest.raises(SinkUnavailable):
            engine.load("first", files)
    engine.load("first", files)
    assert names(engine) == ["a"]


@pytest.mark.services
def test_snowflake_is_rid_of_what_was_given_up(connect_snowflake: Connect, tmp_path: Path) -> None:
    """The next connection's load drops the stages of loads that nobody finished, and no table of others. (To
    the emulator every table is old.)
    """
    connect_snowflake().create([BOXES])
    left, others = f"nexus_boxes__{'0a' * 16}", "nexus_boxes__dbt_tmp"
    for name in (left, f"{left}_gone", others):
        connect_snowflake().execute(f"CREATE TABLE {name} (a INT)")
    engine = connect_snowflake()
    engine.load("first", {BOXES: file_of(tmp_path, [box("a")])})
    there = {name.lower() for (name,) in engine.rows("SELECT table_name FROM information_schema.tables")}
    assert there >= {others, "nexus_boxes"}
    assert there.isdisjoint({left, f"{left}_gone"})


def test_a_warehouse_that_is_away_is_waited_for() -> None:
    """Nobody listens: after the limit for a request it is a SinkUnavailable."""
    nobody = free_port()
    bigquery = BigQuery("nexus", "nexus", endpoint=f"http://127.0.0.1:{nobody}", request_s=3)
    with pytest.raises(SinkUnavailable):
        bigquery.create([BOXES])
    address: dict[str, Any] = {"host": "127.0.0.1", "port": nobody, "protocol": "http"}
    with pytest.raises(SinkUnavailable):
        Snowflake("nexus", "nexus", request_s=3, account="a", user="u", password="p", **address)


def test_a_file_that_another_process_has_is_waited_for(tmp_path: Path) -> None:
    """DuckDB lets one process in: until it goes it is a SinkUnavailable."""
    script = "import sys, duckdb; connection = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    file = tmp_path / "warehouse.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(SinkUnavailable, match="lock"):
            DuckDB(file)
        other.stdin.close()
    DuckDB(file).close()
