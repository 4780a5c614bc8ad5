"""Whether a state folder was created by this user's swath, and not brought by a clone or an archive.

Its journal and results are pickles and texts that are believed. A state folder of this user has a file with an HMAC of its inode by a
key in the user's configuration, which nobody else knows.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from swath.owned_file import owned_text, replace_text

FILE = "owner"
"""In the state folder."""
RESULTS_KEY = "results.key"
"""In the state folder: the key that signs stored results."""
_KEY_FILE = "key"
_MAX_BYTES = 1024


def config_folder(env: Mapping[str, str]) -> Path | None:
    """swath's folder in the user's configuration: $XDG_CONFIG_HOME/swath or ~/.config/swath; None without a home folder."""
    base = env.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(base):  # noqa: PTH117 - of a text
        return Path(base) / "swath"
    try:
        return Path.home() / ".config" / "swath"
    except RuntimeError:
        return None


def mark_as_own(state: Path) -> None:
    """Write the file into a state folder. Without a place for the key, nothing is written: the folder counts as foreign."""
    with contextlib.suppress(OSError, ValueError):
        if not is_own(state) and (key := _key(create=True)):
            replace_text(state / FILE, _mark(state, key))


def is_own(state: Path) -> bool:
    """Whether this user's swath created a state folder."""
    try:
        key = _key(create=False)
        return bool(key) and hmac.compare_digest(owned_text(state / FILE, _MAX_BYTES), _mark(state, key))
    except (OSError, ValueError, TypeError):
        return False


def _mark(state: Path, key: str) -> str:
    # The inode, and not the path: a project may be moved, but the file may not be copied to another folder.
    return hmac.new(key.encode(), str(state.stat().st_ino).encode(), "sha256").hexdigest()


def _key(*, create: bool) -> str:
    """The user's key; empty without one. Raises OSError or ValueError when it cannot be read or written, or others could."""
    folder = config_folder(os.environ)
    if folder is None:
        return ""
    file = folder / _KEY_FILE
    if create and not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            contextlib.suppress(FileExistsError),
            os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as stream,
        ):
            stream.write(secrets.token_hex(32))
    if not file.exists():
        return ""
    return owned_text(file, _MAX_BYTES)
