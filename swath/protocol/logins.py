"""Servers that this user has signed in to: addresses and tokens, in a file that only the user can read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import UsageError
from swath.owned_file import owned_text, replace_text
from swath.storage.private_folder import make_private
from swath.storage.state_owner import config_folder

SERVER = "SWATH_SERVER"
TOKEN = "SWATH_TOKEN"
"""Environment variables that go before the file: for CI."""
_MOST = 1 << 20


@dataclass(frozen=True)
class Login:
    """A server and a token for it."""

    url: str
    token: str


class Logins:
    """The file."""

    def __init__(self, file: Path | None, env: Mapping[str, str]) -> None:
        self._file = file
        self._env = env

    @classmethod
    def of_user(cls, env: Mapping[str, str] | None = None) -> Logins:
        """Those of this user: $XDG_CONFIG_HOME/swath/servers.json, or ~/.config/swath/servers.json."""
        values = os.environ if env is None else env
        folder = config_folder(values)
        return cls(None if folder is None else folder / "servers.json", values)

    def find(self, url: str | None = None) -> Login:
        """A server: this one, the one that SWATH_SERVER names, or the one that was signed in to last. Raises UsageError."""
        url = url or self._env.get(SERVER)
        token = self._env.get(TOKEN)
        if url and token:
            return Login(url.rstrip("/"), token)
        known = self._read()
        url = (url or known.get("default") or "").rstrip("/")
        if not url:
            raise UsageError(
                "no server is known", remedy="`pipe serve` starts one here; `pipe login URL` signs in to one"
            )
        kept = known.get("tokens", {}).get(url)
        if not token and not isinstance(kept, str):
            raise UsageError(f"no token is known for {url}", remedy=f"pipe login {url}, or set {TOKEN}")
        return Login(url, token or kept)

    def default(self) -> str | None:
        """Address of the server that is meant where none is named; None when there is none yet."""
        found = self._read().get("default")
        return found if isinstance(found, str) and found else None

    def save(self, login: Login, *, default: bool = True) -> None:
        """Add a server, or change its token. default: it is the one that is meant where none is named."""
        if self._file is None:
            raise UsageError("this user has no home folder", remedy=f"set {SERVER} and {TOKEN}")
        known = self._read()
        known.setdefault("tokens", {})[login.url] = login.token
        if default or not known.get("default"):
            known["default"] = login.url
        make_private(self._file.parent)
        replace_text(self._file, json.dumps(known, indent=1) + "\n")

    def _read(self) -> dict[str, Any]:
        if self._file is None or not self._file.exists():
            return {}
        try:
            found = json.loads(owned_text(self._file, _MOST))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self._file} cannot be read: {error}", remedy="remove it, and `pipe login URL` again"
            ) from None
        return found if isinstance(found, dict) else {}
