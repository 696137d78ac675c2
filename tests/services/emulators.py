"""Stand-ins for warehouses that only their vendors run: the vendors' own clients talk to them, unchanged.

Each is a process in a virtual environment of its own and keeps nothing: a restart begins empty. They take
more than the real ones do, so every statement is also checked: see `tests.sinks.warehouse.statements`.
"""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.services.install import environment
from tests.services.server import LOOPBACK, Server, ServerFailed, free_port

# bqemulator loads it at start, and would fetch it from the network
INSTALL_SPATIAL = """
import pathlib, duckdb, duckdb_extension_spatial
(file,) = pathlib.Path(duckdb_extension_spatial.__file__).parent.rglob("*.duckdb_extension")
duckdb.connect().execute(f"INSTALL '{file}'")
"""

# fakesnow notes the comment of every table that it makes in another database, also of the temporary one which
# it makes for a MERGE; within a transaction DuckDB does not let it, so here it notes none
SERVE_SNOWFLAKE = """
import sys, uvicorn, fakesnow.info_schema, fakesnow.server
fakesnow.info_schema.insert_table_comment_sql = lambda *_: "SELECT 1"
uvicorn.run(fakesnow.server.app, host=sys.argv[1], port=int(sys.argv[2]), log_level="warning")
"""


class _Emulator(Server):
    """A server that speaks HTTP, from the virtual environment of its name."""

    start_seconds = 120.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._programs = environment(self.name) / "bin"

    def answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=2)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True  # whatever the answer is


class BigQueryServer(_Emulator):
    """Google BigQuery as the bqemulator has it: REST and gRPC, on DuckDB."""

    name = "bqemulator"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.grpc_port = free_port()

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Put DuckDB's extension where the emulator looks for it: below its home, which is the folder."""
        command = [*self._at_home(), str(self._programs / "python"), "-c", INSTALL_SPATIAL]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise ServerFailed(f"no spatial extension for DuckDB:\n{done.stderr}")

    def command(self) -> Sequence[str]:
        ports = ["--rest-port", str(self.port), "--grpc-port", str(self.grpc_port)]
        return [*self._at_home(), str(self._programs / "bqemulator"), "start", *ports]

    def _at_home(self) -> list[str]:
        return ["env", f"HOME={self.folder}"]  # becomes the command, which keeps its process id


class SnowflakeServer(_Emulator):
    """Snowflake as fakesnow has it: the wire protocol, on DuckDB. Connector 5 and later cannot log in."""

    name = "fakesnow"

    @property
    def connection(self) -> dict[str, str | int]:
        """What the connector is given to find it: any user may come in."""
        address: dict[str, str | int] = {"host": LOOPBACK, "port": self.port, "protocol": "http"}
        return {"account": "fakesnow", "user": "nexus", "password": "any", **address}

    def command(self) -> Sequence[str]:
        return [str(self._programs / "python"), "-c", SERVE_SNOWFLAKE, LOOPBACK, str(self.port)]
