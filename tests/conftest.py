"""Fixtures of the whole suite: real servers to share, and real servers to kill.

Tests that need Kafka or the distribution's redis-server carry the mark `services`. A server that is missing
skips the test with the reason; where the variable CI is set it fails, because there it has to run.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, Protocol

import pytest
import redis
from hypothesis import HealthCheck, settings

from tests.services import (
    BigQueryServer,
    KafkaServer,
    Missing,
    RedisServer,
    SnowflakeServer,
    make_topic,
    redis_executables,
)

# No deadline: the cores are shared with servers, and a slow example is not a wrong one.
settings.register_profile("nexus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nexus")


class StartRedis(Protocol):
    """Starts a redis-server that is stopped when the test ends."""

    def __call__(
        self, executable: Path | None = None, config: Mapping[str, str] | None = None
    ) -> RedisServer: ...


class MakeTopic(Protocol):
    """Makes a topic with a name of its own, and returns the name."""

    def __call__(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str: ...


def unavailable(reason: object) -> NoReturn:
    """Skip the test, or fail it where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(f"missing in CI: {reason}")
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give the redis-server of the whole run: not to be killed, its settings not to be changed."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """A Redis without an append-only file: what is tested here is the answer."""
    folder = tmp_path_factory.mktemp("redis")
    with (
        RedisServer(folder, config={"appendonly": "no"}) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        yield client


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Give the URL of the shared redis-server, emptied for this test."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        client.script_flush()
    return redis_server.url


@pytest.fixture(params=["distribution", "wheel"])
def redis_executable(request: pytest.FixtureRequest) -> Path:
    """Give each redis-server of this machine in turn: the distribution's, then the wheel's."""
    try:
        return redis_executables()[request.param]
    except KeyError:
        pytest.skip(f"no redis-server of the {request.param} on this machine; the other one is tested")


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[StartRedis]:
    """Start redis-servers of the test's own, to kill and restart."""
    with ExitStack() as stack:

        def start(executable: Path | None = None, config: Mapping[str, str] | None = None) -> RedisServer:
            folder = tmp_path / f"redis-{uuid.uuid4().hex[:8]}"
            return stack.enter_context(RedisServer(folder, executable, config))

        yield start


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the bootstrap address of the broker of the whole run."""
    running = os.environ.get("NEXUS_TEST_KAFKA")
    if running:  # started by `python -m tests.services`
        yield running
        return
    try:
        server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    except Missing as missing:
        unavailable(missing)
    with server:
        yield server.bootstrap


@pytest.fixture(scope="session")
def bigquery_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryServer]:
    """Give the emulator of BigQuery of the whole run: each test has datasets of its own."""
    try:
        server = BigQueryServer(tmp_path_factory.mktemp("bigquery"))
    except Missing as missing:
        unavailable(missing)
    with server:
        yield server


@pytest.fixture(scope="session")
def snowflake_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnowflakeServer]:
    """Give the emulator of Snowflake of the whole run: each test has databases of its own."""
    try:
        server = SnowflakeServer(tmp_path_factory.mktemp("snowflake"))
    except Missing as missing:
        unavailable(missing)
    with server:
        yield server


@pytest.fixture
def new_topic(kafka: str) -> MakeTopic:
    """Make topics of the test's own on the shared broker, by default with one partition."""

    def make(partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        make_topic(kafka, name, partitions, config)
        return name

    return make


@pytest.fixture
def start_kafka(tmp_path: Path) -> Iterator[Callable[[], KafkaServer]]:
    """Start brokers of the test's own, to kill and restart."""
    with ExitStack() as stack:

        def start() -> KafkaServer:
            try:
                server = KafkaServer(tmp_path / f"kafka-{uuid.uuid4().hex[:8]}")
            except Missing as missing:
                unavailable(missing)
            return stack.enter_context(server)

        yield start
