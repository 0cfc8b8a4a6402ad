"""A private PostgreSQL cluster: made, started, stopped, killed and removed by a test."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from harness.processes import SERVER_USER, clean_environment, descendants, is_running, tied_to_us
from harness.waiting import wait_until

START_SECONDS = 60.0

# A crash of the server loses nothing without these; only a crash of the machine would.
_SETTINGS: Mapping[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %a %d ",
}

_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a test: its name and the connection string that reaches it."""

    name: str
    conninfo: str


@final
class Cluster:
    """A cluster in a temporary directory of its own: one superuser ``postgres``, trust authentication.

    It listens on a Unix socket in that directory and on 127.0.0.1. Run by root, the server runs as user
    ``postgres``, otherwise as the caller. Keyword arguments are server settings. Start it from a thread
    that lives as long as it: the kernel ends the server with the thread that started it.
    """

    def __init__(self, **settings: str | int) -> None:
        self.port = _free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="pgagent_py-test-", dir="/tmp"))
        self.data = self.directory / "data"
        self._user = SERVER_USER if os.geteuid() == 0 else None
        self._settings = {
            **_SETTINGS,
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.directory),
            **settings,
        }
        self._log_path = self.directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.directory.chmod(0o755)
        if self._user:
            shutil.chown(self.directory, self._user, self._user)

    def __enter__(self) -> Cluster:
        self.initialise()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has logged so far, over all its starts."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def initialise(self) -> None:
        """Run initdb."""
        command = [str(server_program("initdb")), "--pgdata", str(self.data), "--username", "postgres"]
        self._run([*command, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"])

    def follow(self, primary: Cluster) -> None:
        """Make the cluster a standby of another one that runs, instead of initialising it."""
        command = [
            str(server_program("pg_basebackup")),
            "--pgdata",
            str(self.data),
            "--write-recovery-conf",
            "--no-sync",
        ]
        self._run([*command, "--checkpoint", "fast", "--dbname", primary.conninfo()])

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        assert self._process is None, "the server is running already"
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(server_program("postgres")), "-D", str(self.data), *options]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                tied_to_us(command, "INT", user=self._user),
                cwd=self.directory,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._accepts_connections, START_SECONDS, lambda: f"the server to start\n{self.log}")

    def stop(self, mode: str = "fast") -> None:
        """Shut the server down (``smart``, ``fast`` or ``immediate``) and wait for its end."""
        self._end(_STOP_SIGNALS[mode])

    def kill_postmaster(self) -> None:
        """Kill the postmaster with -9 and wait until its orphans are gone: then it can start again."""
        orphans = descendants(self.pid)
        self._end(signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, orphans)), what="the killed server's backends to end")

    def restart(self, mode: str = "fast") -> None:
        """Stop the server and start it again, on the same port."""
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stop the server if it runs and delete the cluster."""
        if self._process is not None:
            self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def conninfo(self, dbname: str = "postgres", *, tcp: bool = False, **parameters: str) -> str:
        """Return a connection string for a database, over the Unix socket or over TCP on 127.0.0.1."""
        host = "127.0.0.1" if tcp else str(self.directory)
        return make_conninfo("", host=host, port=self.port, user="postgres", dbname=dbname, **parameters)

    def connect(self, dbname: str = "postgres", **parameters: str) -> psycopg.Connection[TupleRow]:
        """Open a session in autocommit mode. The caller closes it."""
        return psycopg.connect(make_conninfo(self.conninfo(dbname), **parameters), autocommit=True)

    def create_database(self, name: str, *, extension: bool = True) -> Database:
        """Create a database, with the extension unless told otherwise."""
        with self.connect() as conn:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        if extension:
            with self.connect(name) as conn:
                conn.execute("create extension pgagent_py cascade")
        return Database(name, self.conninfo(name))

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        with self.connect() as conn:
            conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def promote(self) -> None:
        """Make a standby a primary."""
        self._run([str(server_program("pg_ctl")), "promote", "-D", str(self.data)])

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            tied_to_us(command, "KILL", user=self._user),
            cwd=self.directory,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}{done.stderr}"

    def _accepts_connections(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server did not start:\n{self.log}"
        try:
            self.connect(connect_timeout="5").close()
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server is not running"
        self._process.send_signal(number)
        try:
            self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"the server did not end on {number.name}:\n{self.log}") from error
        self._process = None


def pg_config() -> str:
    """Return the pg_config in use: $PG_CONFIG, else that of Debian's newest server, else the PATH's."""
    named = os.environ.get("PG_CONFIG")
    if named:
        return named
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin/pg_config") if (path.parent / "initdb").exists()]
    newest = max(found, key=lambda path: int(re.sub(r"\D", "", path.parts[-3])), default=None)
    return str(newest or "pg_config")


def server_directory(kind: str) -> Path:
    """Return a directory of the server's installation, such as ``bindir`` or ``sharedir``."""
    return Path(subprocess.check_output([pg_config(), f"--{kind}"], text=True).strip())


def server_program(name: str) -> Path:
    """Return the path of one of the server's programs, such as ``initdb`` or ``pg_dump``."""
    return server_directory("bindir") / name


def _free_port() -> int:
    """Return a port nobody listens on, outside the range of the kernel's ephemeral ports.

    Within that range a client that retries while the server is down may end up connected to itself.
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
