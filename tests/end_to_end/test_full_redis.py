"""A Redis that has no memory left: nothing is lost, and nobody has to start anything again."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.conftest import StartRedis
from tests.end_to_end.programs import Nexus, eventually
from tests.end_to_end.test_embedded import call, calls_file, is_known
from tests.services import redis_executables


@pytest.mark.parametrize("origin", redis_executables())
def test_the_stream_waits_until_there_is_room(tmp_path: Path, start_redis: StartRedis, origin: str) -> None:
    """It says what it waits for, takes nothing in, and goes on when there is more memory."""
    server = start_redis(redis_executables()[origin])
    nexus = Nexus(tmp_path, {"NEXUS_REDIS__URL": server.url})
    run = ("run", "--as", "segment", "--until-end", "--source")
    for name, numbers in (("first", range(20)), ("second", range(20, 40))):
        calls_file(nexus, map(call, numbers), name)
    assert nexus.ok(*run, "first").messages == 20
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        with nexus.running(*run, "second") as waiting:
            eventually(lambda: "Redis is full" in waiting.err.read_text(), "it says that Redis is full")
            assert waiting.process.poll() is None
            client.config_set("maxmemory", 0)
            done = waiting.wait()
    assert done.code == 0, done.err
    assert is_known(nexus, 39)
    assert "all hold" in nexus.ok("check").out
