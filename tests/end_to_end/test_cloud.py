"""A namespace whose event log is in BigQuery, or in Snowflake: everything that the embedded one does."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest

from tests.end_to_end.programs import Nexus
from tests.end_to_end.test_embedded import call, calls_file
from tests.end_to_end.test_operators import ADA, BO
from tests.end_to_end.test_reconcile import answer, harm, journey, reports
from tests.services import BigQueryServer, SnowflakeServer

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]  # a dozen commands each


def in_bigquery(server: BigQueryServer) -> dict[str, object]:
    """What is set to keep the log in a dataset of its own."""
    return {
        "NEXUS_WAREHOUSE__ENGINE": "bigquery",
        "NEXUS_WAREHOUSE__BIGQUERY__PROJECT": "nexus",
        "NEXUS_WAREHOUSE__BIGQUERY__DATASET": f"d_{uuid.uuid4().hex[:12]}",
        "NEXUS_WAREHOUSE__BIGQUERY__ENDPOINT": server.endpoint,
    }


def in_snowflake(server: SnowflakeServer) -> dict[str, object]:
    """The same, in a database of its own."""
    return {
        "NEXUS_WAREHOUSE__ENGINE": "snowflake",
        "NEXUS_WAREHOUSE__SNOWFLAKE__ACCOUNT": server.connection["account"],
        "NEXUS_WAREHOUSE__SNOWFLAKE__USER": server.connection["user"],
        "NEXUS_WAREHOUSE__SNOWFLAKE__DATABASE": f"d_{uuid.uuid4().hex[:12]}",
        "NEXUS_WAREHOUSE__SNOWFLAKE__ENDPOINT": f"http://{server.connection['host']}:{server.port}",
    }


@pytest.fixture(params=["bigquery", "snowflake"])
def nexus(request: pytest.FixtureRequest, tmp_path: Path) -> Nexus:
    """Give the command, with its event log in each warehouse in turn."""
    server = request.getfixturevalue(f"{request.param}_server")
    where = in_bigquery(server) if request.param == "bigquery" else in_snowflake(server)
    return Nexus(tmp_path, {"NEXUS_WAREHOUSE__EVERY_S": 0.5, **where})


def test_the_warehouse_has_the_last_word(nexus: Nexus) -> None:
    """A healthy stream has no drift; what was harmed is set right; and an empty Redis is rebuilt."""
    journey(nexus)
    assert "0 bytes behind the stream" in nexus.ok("check").out
    assert "no drift" in nexus.ok("reconcile", "--fail-on-drift").out
    before = answer(nexus)
    harm(nexus)
    done = nexus.run("reconcile", "--fail-on-drift", "--json")
    assert done.code == 1, done.err
    (report,) = reports(done.out)
    assert {"identifier_elsewhere", "state"} <= report["drift"].keys()
    assert answer(nexus) == before
    shutil.rmtree(nexus.folder / "nexus-data" / "redis")
    assert "events from the event log are in" in nexus.ok("rebuild").out
    assert answer(nexus) == before
    more = nexus.ok("run", "--until-end", "--source", calls_file(nexus, [call(1)]), "--as", "segment")
    assert more.messages == 1
    assert "no drift" in nexus.ok("reconcile", "--fail-on-drift").out


def test_who_is_erased_is_gone(nexus: Nexus) -> None:
    """The archive takes the erased out of the tables, and the certificate tells what the warehouse keeps."""
    nexus.ok("run", "--until-end", "--source", calls_file(nexus, ADA + BO), "--as", "event")
    erased = nexus.ok("erase", "person", "email=ada@acme.example", "--yes")
    assert "the warehouse keeps of the past" in erased.out
    nexus.ok("run", "--until-end")
    assert "no drift" in nexus.ok("reconcile", "--fail-on-drift").out
    shutil.rmtree(nexus.folder / "nexus-data" / "redis")
    nexus.ok("rebuild")
    names = {value for _, _, value in nexus.mapping()}
    assert "bo@acme.example" in names
    assert "ada@acme.example" not in names
