"""The result store: results by the fingerprint of their content, small ones in hand, large ones in a folder or bucket."""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swath.engine import secret_pickle
from swath.engine.fingerprint import fingerprint
from swath.engine.stored_result import StoredResult
from swath.errors import StateError
from swath.storage.filesystem import filesystem_and_path

INLINE_BYTES = 8192
"""Results up to this size travel and are kept in the journal; larger ones are kept in the store."""
TRIES = 6
"""A bucket is asked so often: object stores refuse now and then, for a second or two."""
FIRST_PAUSE_S = 0.1
"""Before the second try; it doubles with each."""
CACHE_BYTES = 64 * 2**20
"""How much of what was read a process keeps, for values that many calls share."""


class ResultStore:
    """Results of calls under one root: a local folder, or an fsspec URL that workers elsewhere can reach.

    `secrets` are texts that no result may hold in the open, with the names by which they are known: see `swath.engine.secret_pickle`.
    """

    def __init__(self, root: str, secrets: Mapping[str, str] | None = None) -> None:
        self.root = root.rstrip("/")
        self._secrets = dict(secrets or {})
        self._recent: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        self._recent_bytes = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return (ResultStore, (self.root, self._secrets))

    def put(self, value: Any) -> StoredResult:
        """Keep a value. Raises StateError when it cannot be pickled or written."""
        try:
            data = secret_pickle.dumps(value, self._secrets)
        except Exception as error:  # whatever a foreign object's __reduce__ raises
            raise StateError(
                f"a result of type {type(value).__name__} cannot be kept: {error}",
                remedy="return plain values, arrays or paths from tasks",
            ) from error
        return self.keep(fingerprint(value), data)

    def keep(self, digest: str, data: bytes) -> StoredResult:
        """Keep a pickle that holds no secrets, of the value with this fingerprint. Raises StateError when it cannot be written."""
        if len(data) <= INLINE_BYTES:
            return StoredResult(digest, len(data), data)
        self._write(digest, data)
        return StoredResult(digest, len(data))

    def get(self, stored: StoredResult, *, once: bool = False) -> Any:
        """The value. `once`: it will not be asked for again soon, and is not held here. Raises StateError when it is not there
        any more."""
        if stored.data is not None:
            return secret_pickle.loads(stored.data, self._secrets)
        if stored.digest in self._recent:
            self._recent.move_to_end(stored.digest)
            return self._recent[stored.digest][1]
        value = secret_pickle.loads(self._read(stored.digest), self._secrets)
        if not once:
            self._keep(stored, value)
        return value

    def has(self, stored: StoredResult) -> bool:
        """Whether the value can be had."""
        if stored.data is not None:
            return True
        if "://" in self.root:
            filesystem, path = filesystem_and_path(self._place(stored.digest))
            try:
                return bool(_patiently(lambda: filesystem.info(path))["size"] == stored.size)
            except FileNotFoundError:
                return False
        with contextlib.suppress(OSError):
            return Path(self._place(stored.digest)).stat().st_size == stored.size
        return False

    def _keep(self, stored: StoredResult, value: Any) -> None:
        if stored.size > CACHE_BYTES // 4:
            return
        self._recent[stored.digest] = (stored.size, value)
        self._recent_bytes += stored.size
        while self._recent_bytes > CACHE_BYTES:
            _, (size, _) = self._recent.popitem(last=False)
            self._recent_bytes -= size

    def _place(self, digest: str) -> str:
        return f"{self.root}/{digest[:2]}/{digest[2:]}"

    def _read(self, digest: str) -> bytes:
        place = self._place(digest)
        try:
            if "://" in self.root:
                filesystem, path = filesystem_and_path(place)
                return bytes(_patiently(lambda: filesystem.cat_file(path)))
            return Path(place).read_bytes()
        except OSError as error:
            raise StateError(
                f"a kept result cannot be read: {place}: {error}", remedy="run again with --fresh to make it anew"
            ) from error

    def _write(self, digest: str, data: bytes) -> None:
        place = self._place(digest)
        try:
            if "://" in self.root:
                filesystem, key = filesystem_and_path(place)
                # One put, of content that its name tells: an object that is there is whole, and may be put again.
                _patiently(lambda: filesystem.pipe_file(key, data))
                return
            path = Path(place)
            if path.exists() and path.stat().st_size == len(data):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
            try:
                temporary.write_bytes(data)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(
                f"a result of {len(data)} bytes cannot be kept in {self.root}: {error}",
                remedy="free some space, or set SWATH_HOME to another disk",
            ) from error


def _patiently(ask: Callable[[], Any]) -> Any:
    """What a bucket answers. Tried again when it fails, but not when it says that there is nothing, or that we may not."""
    for number in range(TRIES - 1):
        try:
            return ask()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:
            time.sleep(FIRST_PAUSE_S * 2**number * random.uniform(0.5, 1.5))
    return ask()
