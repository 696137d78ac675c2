"""A real redis-server, durable as in production unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services.install import redis_executables
from tests.services.server import LOOPBACK, Server, free_port

# What Nexus demands at start: every acknowledged write is on the disk, and nothing is ever evicted.
DURABLE: Mapping[str, str] = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory-policy": "noeviction",
}

ONCE = Retry(NoBackoff(), 0)  # the waiting is done here, in one place


class RedisServer(Server):
    """A redis-server on a loopback port. `config` adds to or overrides the durable options, name by name."""

    name = "redis"

    def __init__(
        self, folder: Path, executable: Path | None = None, config: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder)
        self.executable = executable or next(iter(redis_executables().values()))
        self.config = {**DURABLE, **(config or {})}
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def command(self) -> Sequence[str]:
        words = ["--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.folder)]
        for name, value in self.config.items():
            words += [f"--{name}", *value.split(" ")]  # of several words 6.2 wants each by itself
        return [str(self.executable), *words]

    def answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1, retry=ONCE) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):  # the first also while it loads its file
            return False
