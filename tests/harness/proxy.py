"""A TCP proxy in front of a server: the network that a test can cut."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import final

_PIECE_BYTES = 65536


@final
class Proxy:
    """Listens on 127.0.0.1, ``port``, and passes everything on to a server on another port of this host.

    ``cut`` is a network that fails: both ends of every connection see it end at once, new ones are refused.
    ``cut_clients`` is one that only the clients notice: the server's ends stay open. ``stall`` is one that nobody
    notices: nothing arrives any more. With ``delay_seconds`` every piece arrives so much later.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self.delay_seconds = 0.0
        self._broken = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._clients: list[socket.socket] = []
        self._servers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Proxy:
        self._start_thread(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        while self._threads:
            self._threads.pop().join()
        for one in (self._listener, *self._clients, *self._servers):
            one.close()

    def cut(self) -> None:
        """End all connections, and refuse new ones until ``mend``."""
        self.cut_clients()
        with self._lock:
            _shut_down(self._servers)

    def cut_clients(self) -> None:
        """End the connections of the clients, and refuse new ones until ``mend``; the server notices nothing."""
        with self._lock:
            self._broken = True
            _shut_down(self._clients)
        self._flowing.set()

    def stall(self) -> None:
        """Pass nothing on until ``mend``, and let all connections stand."""
        self._flowing.clear()

    def mend(self) -> None:
        """Accept connections again, and pass on what was held up."""
        with self._lock:
            self._broken = False
        self._flowing.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._broken:
                    client.close()
                    continue
                server = self._connect(client)
            if server is not None:
                self._start_thread(self._pass_on, client, server)
                self._start_thread(self._pass_on, server, client)

    def _connect(self, client: socket.socket) -> socket.socket | None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server_port))
        except OSError:
            client.close()
            return None
        self._clients.append(client)
        self._servers.append(server)
        return server

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                time.sleep(self.delay_seconds)
                self._flowing.wait()
                target.sendall(piece)
        with self._lock:
            # What the server sends into a connection that only the client lost goes nowhere.
            if not (self._broken and source in self._clients):
                _shut_down([target])

    def _start_thread(self, work: object, *arguments: socket.socket) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


def _shut_down(sockets: list[socket.socket]) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
