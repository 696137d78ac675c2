"""The redis-server that tests kill: it comes back on the same folder and port, with all it acknowledged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis

from tests.conftest import StartRedis
from tests.services import RedisServer, ServerFailed


def client(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_every_redis_of_this_machine_starts(start_redis: StartRedis, redis_executable: Path) -> None:
    """The distribution's and the wheel's redis-server both answer, durable as Nexus demands it."""
    server = start_redis(redis_executable)
    assert client(server).config_get("append*")["appendfsync"] == "always"


def test_what_was_acknowledged_survives_kill_9(start_redis: StartRedis) -> None:
    """A write that was answered is there after kill -9 and a restart at the same URL."""
    server = start_redis()
    url = server.url
    client(server).set("written", "yes")
    server.kill9()
    assert not server.running
    server.start()
    assert server.url == url
    assert client(server).get("written") == "yes"


def test_stop_ends_the_process(start_redis: StartRedis) -> None:
    """After `stop` the process is gone, and stopping again is harmless."""
    server = start_redis()
    server.stop()
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_paused_server_continues(start_redis: StartRedis) -> None:
    """A paused server answers nobody, and everybody again when it is resumed."""
    server = start_redis()
    server.pause()
    assert not server.answers()
    server.resume()
    assert server.answers()


def test_options_are_passed_on(start_redis: StartRedis) -> None:
    """A test can start a redis-server that Nexus must refuse."""
    server = start_redis(config={"appendonly": "no"})
    assert client(server).config_get("appendonly") == {"appendonly": "no"}


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A server that ends at start raises with the end of its log and leaves no process."""
    server = RedisServer(tmp_path / "redis", config={"no-such-option": "1"})
    with pytest.raises(ServerFailed, match="no-such-option"):
        server.start()
    assert not server.running
