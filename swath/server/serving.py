"""Runs the server: its address, TLS, the first admin's token, and its end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from swath.errors import InfrastructureError, UsageError
from swath.owned_file import replace_text
from swath.server.database.open import open_database
from swath.server.oidc.provider import Provider
from swath.server.retention import Keep
from swath.server.services import Services
from swath.server.spec_checks import LocalSpecCheck
from swath.storage.private_folder import make_private

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ADMIN = "admin"
TOKEN_FILE = "admin.token"
FILE = "server.sqlite"
"""The database in the server's folder, where none is named."""
END_S = 5
"""How long requests may take to end when the server ends."""


@dataclass(frozen=True)
class ListenAddress:
    """Where the server listens, and how it is known outside."""

    host: str = "127.0.0.1"
    port: int = 8270
    """0: any that is free."""
    url: str = ""
    """How others reach it, such as https://swath.example.org; needed beyond this machine."""
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    """A proxy in front of it speaks TLS."""

    def check(self) -> None:
        """Raise UsageError for an address that would carry tokens over a network in the clear."""
        if (self.certificate is None) != (self.key is None):
            raise UsageError("TLS needs both", remedy="--tls-cert FILE --tls-key FILE")
        if self.host in LOOPBACK:
            return
        if self.certificate is None and not self.behind_proxy:
            raise UsageError(
                f"{self.host} can be reached from other machines, and tokens would go over the network in the clear",
                remedy="give --tls-cert and --tls-key, or --behind-proxy when a proxy on this network speaks TLS",
            )
        if not self.url:
            raise UsageError("others need to know how the server is called", remedy="--url https://swath.example.org")

    @property
    def hosts(self) -> frozenset[str]:
        """Names under which it may be asked."""
        named = urlsplit(self.url).hostname
        return frozenset(LOOPBACK) | ({named.lower()} if named else frozenset())

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https."""
        return self.certificate is not None or self.url.startswith("https://")


class Server:
    """One server process."""

    def __init__(
        self,
        address: ListenAddress,
        folder: Path,
        database: str | None = None,
        keep: Keep = Keep(),
        *,
        files_here: bool = False,
        local_check: LocalSpecCheck | None = None,
        provider: Provider | None = None,
    ) -> None:
        """folder: of the server's own files. database: a postgresql:// address; a file in the folder when not given.
        keep: how long what has ended is stored. files_here, local_check, provider: see Services.of.

        Raises UsageError for an address that is not safe, StateError and DatabaseUnavailable for a database that cannot be used.
        """
        address.check()
        if provider is not None and not address.url:
            raise UsageError(
                "the identity provider needs to know where it sends people back to",
                remedy="--url https://swath.example.org",
            )
        self._address = address
        self._folder = folder
        make_private(folder)
        self.services = Services.of(
            open_database(database or str(folder / FILE)), keep=keep, files_here=files_here, local_check=local_check,
            provider=provider,
        )  # fmt: skip
        try:
            self._socket = socket.create_server(
                (address.host, address.port), family=socket.AF_INET6 if ":" in address.host else socket.AF_INET
            )
        except OSError as error:
            self.services.database.close()
            raise InfrastructureError(
                f"{address.host}:{address.port} cannot be listened on: {error.strerror}", remedy="give another --port"
            ) from error

    @property
    def url(self) -> str:
        """How it is reached from this machine."""
        scheme = "https" if self._address.certificate else "http"
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"{scheme}://{host}:{self._socket.getsockname()[1]}"

    def first_token(self) -> Path | None:
        """The file with a new admin's token when nobody is admin of the server yet; else None."""
        file = self._folder / TOKEN_FILE
        new = self.services.accounts.create_first(
            ADMIN, lambda token: replace_text(file, token + "\n"), who="the first start"
        )
        return file if new else None

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGINT or SIGTERM. ready: called when requests are answered."""
        import uvicorn

        from swath.server.app import create_app
        from swath.server.uvicorn_server import UvicornServer

        address = self._address
        app = create_app(self.services, address.hosts, secure=address.secure, url=address.url.rstrip("/"))
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=self._address.behind_proxy,
            forwarded_allow_ips="*" if self._address.behind_proxy else "",
            timeout_graceful_shutdown=END_S,
            timeout_keep_alive=75,
            ssl_certfile=self._address.certificate,
            ssl_keyfile=self._address.key,
        )
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        server = UvicornServer(config, ready, self.services.wakeup.close)
        try:
            server.run(sockets=[self._socket])
        finally:
            self.close()

    def close(self) -> None:
        """Close what was opened."""
        self._socket.close()
        self.services.database.close()
