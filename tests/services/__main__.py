"""Real servers from a shell: `python -m tests.services VERB`.

install            fetch what is missing: Kafka's jars by Maven; redis-server, Java, Maven and docker-compose
                   by apt-get; the emulators of BigQuery and Snowflake by pip
start              install, then start Kafka and Redis in the background; `eval` what it prints
status             print the same again; code 1 when `start` left nothing running
stop               stop what `start` left running
run -- COMMAND     install, start both, run COMMAND, stop both; ends with COMMAND's code

The servers' addresses are in NEXUS_TEST_KAFKA (host:port) and NEXUS_TEST_REDIS (a URL). The emulators are
only installed: the tests that want them start them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.services import KafkaServer, Missing, RedisServer, ServerFailed
from tests.services.install import CACHE, install

RUNNING = CACHE / "running.json"  # {"folder": ..., "pids": {pid: when it began}, "variables": {...}}


def main(words: Sequence[str]) -> int:
    """Run one command line and return its exit code: 2 for wrong usage, or where a part is missing."""
    verbs = {"install": _install, "start": _start, "status": _status, "stop": _stop}
    try:
        if len(words) == 1 and words[0] in verbs:
            return verbs[words[0]]()
        if len(words) > 2 and words[:2] == ["run", "--"]:
            return _run(words[2:])
    except (Missing, ServerFailed) as error:
        print(f"tests.services: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # the servers are stopped by now
        return 130
    print(__doc__, file=sys.stderr)
    return 0 if words in (["help"], ["--help"], ["-h"]) else 2


def _install() -> int:
    install()
    return 0


def _run(command: Sequence[str]) -> int:
    install()
    with (
        tempfile.TemporaryDirectory(prefix="nexus-services-") as folder,
        RedisServer(Path(folder, "redis")) as redis,
        KafkaServer(Path(folder, "kafka")) as kafka,
    ):
        return subprocess.run(command, env={**os.environ, **_variables(kafka, redis)}, check=False).returncode


def _start() -> int:
    if _alive():
        return _status()
    install()
    folder = Path(tempfile.mkdtemp(prefix="nexus-services-"))
    redis = RedisServer(folder / "redis").start()
    try:
        kafka = KafkaServer(folder / "kafka").start()
    except (Missing, ServerFailed):
        redis.stop()
        raise
    pids = {str(pid): psutil.Process(pid).create_time() for pid in (kafka.pid, redis.pid)}
    state = {"folder": str(folder), "pids": pids, "variables": _variables(kafka, redis)}
    RUNNING.write_text(json.dumps(state))
    return _status()


def _status() -> int:
    if not _alive():
        print("tests.services: nothing runs", file=sys.stderr)
        return 1
    for name, value in json.loads(RUNNING.read_text())["variables"].items():
        print(f"export {name}={value}")
    return 0


def _stop() -> int:
    processes = _alive()
    for process in processes:
        process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=KafkaServer.stop_seconds)
    for process in stubborn:
        process.kill()
    if RUNNING.exists():
        shutil.rmtree(json.loads(RUNNING.read_text())["folder"], ignore_errors=True)
        RUNNING.unlink()
    return 0


def _alive() -> list[psutil.Process]:
    """Return the processes that `start` left; one that only inherited a process id began at another time."""
    if not RUNNING.exists():
        return []
    began = {int(pid): time for pid, time in json.loads(RUNNING.read_text())["pids"].items()}
    processes = [psutil.Process(pid) for pid in began if psutil.pid_exists(pid)]
    return [process for process in processes if process.create_time() == began[process.pid]]


def _variables(kafka: KafkaServer, redis: RedisServer) -> Mapping[str, str]:
    return {"NEXUS_TEST_KAFKA": kafka.bootstrap, "NEXUS_TEST_REDIS": redis.url}


if __name__ == "__main__":
    # SIGTERM ends the command in the way of Ctrl-C, through the `with` that stops the servers
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
