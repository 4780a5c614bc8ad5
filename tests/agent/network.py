"""A network between an agent's machine and its server that can be cut: as when a cable is pulled, nobody is told."""

from __future__ import annotations

import contextlib
import socket
import threading


class Network:
    """Relays connections to a port of loopback. While it is cut, connections stay open and new ones are made, and nothing comes."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._whole = threading.Event()
        self._whole.set()
        self._ended = False
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        """Connections from before the cut are of no more use, as with a router that has forgotten them."""
        self._drop()
        self._whole.set()

    def close(self) -> None:
        self._ended = True
        self._whole.set()
        for each in (self._listening, *self._sockets):
            _close(each)

    def _drop(self) -> None:
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            _close(each)

    def _accept(self) -> None:
        while not self._ended:
            try:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                continue
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                self._whole.wait()
                target.sendall(piece)
            self._whole.wait()
        _close(source)
        _close(target)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # wakes who waits in it
    connection.close()
