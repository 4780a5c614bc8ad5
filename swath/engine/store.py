"""The result store: results by the fingerprint of their content, small ones as bytes in hand, large ones in a folder or bucket."""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.engine import secret_pickle
from swath.engine.fingerprint import fingerprint
from swath.engine.stored_result import StoredResult
from swath.errors import StateError
from swath.storage.filesystem import filesystem_and_path

INLINE_BYTES = 8192
"""Results up to this size travel with calls and are stored in the journal; larger ones are files of the store."""


@dataclass(frozen=True)
class StoreLimits:
    """Attempts at a bucket, and memory for what was read."""

    attempts: int = 6
    """How often a bucket is asked: object stores refuse now and then, for a second or two."""
    first_pause_s: float = 0.1
    """Before the second attempt; it doubles with each, with jitter."""
    cache_bytes: int = 64 * 2**20
    """Values that were read and stay in memory, because many calls may share them."""


class ResultStore:
    """Results of calls below one root: a local folder, or an fsspec URL that workers elsewhere can reach.

    `secrets` are texts that no stored result may contain, with the names that stand for them: see swath.engine.secret_pickle.
    """

    def __init__(
        self, root: str, secrets: Mapping[str, str] | None = None, limits: StoreLimits = StoreLimits()
    ) -> None:
        self.root = root.rstrip("/")
        self._secrets = dict(secrets or {})
        self._limits = limits
        self._cache: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        """Size and value by digest, the last used at the end."""
        self._cached_bytes = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return (ResultStore, (self.root, self._secrets, self._limits))

    def put(self, value: Any) -> StoredResult:
        """Store a value. Raises StateError when it cannot be pickled or written."""
        try:
            data = secret_pickle.dumps(value, self._secrets)
        except Exception as error:  # whatever a foreign object's __reduce__ raises
            raise StateError(
                f"a result of type {type(value).__name__} cannot be stored: {error}",
                remedy="return plain values, arrays or paths from tasks",
            ) from error
        return self.put_pickle(fingerprint(value), data)

    def put_pickle(self, digest: str, data: bytes) -> StoredResult:
        """Store a pickle without secrets, of the value with this fingerprint. Raises StateError when it cannot be written."""
        if len(data) <= INLINE_BYTES:
            return StoredResult(digest, len(data), data)
        self._write(digest, data)
        return StoredResult(digest, len(data))

    def get(self, stored: StoredResult, *, once: bool = False) -> Any:
        """The value. `once`: it will not be read again soon, and is not cached. Raises StateError when it is not there any more."""
        if stored.data is not None:
            return secret_pickle.loads(stored.data, self._secrets)
        if stored.digest in self._cache:
            self._cache.move_to_end(stored.digest)
            return self._cache[stored.digest][1]
        value = secret_pickle.loads(self._read(stored.digest), self._secrets)
        if not once:
            self._add_to_cache(stored, value)
        return value

    def has(self, stored: StoredResult) -> bool:
        """Whether the value can be read."""
        if stored.data is not None:
            return True
        if "://" in self.root:
            filesystem, path = filesystem_and_path(self._path(stored.digest))
            try:
                return bool(self._retried(lambda: filesystem.info(path))["size"] == stored.size)
            except FileNotFoundError:
                return False
        with contextlib.suppress(OSError):
            return Path(self._path(stored.digest)).stat().st_size == stored.size
        return False

    def _add_to_cache(self, stored: StoredResult, value: Any) -> None:
        if stored.size > self._limits.cache_bytes // 4:
            return
        self._cache[stored.digest] = (stored.size, value)
        self._cached_bytes += stored.size
        while self._cached_bytes > self._limits.cache_bytes:
            _, (size, _) = self._cache.popitem(last=False)
            self._cached_bytes -= size

    def _path(self, digest: str) -> str:
        return f"{self.root}/{digest[:2]}/{digest[2:]}"

    def _read(self, digest: str) -> bytes:
        path = self._path(digest)
        try:
            if "://" in self.root:
                filesystem, key = filesystem_and_path(path)
                return bytes(self._retried(lambda: filesystem.cat_file(key)))
            return Path(path).read_bytes()
        except OSError as error:
            raise StateError(
                f"a stored result cannot be read: {path}: {error}", remedy="run again with --fresh to compute it again"
            ) from error

    def _write(self, digest: str, data: bytes) -> None:
        try:
            if "://" in self.root:
                filesystem, key = filesystem_and_path(self._path(digest))
                # One put, of content that its name tells: an object that is there is whole, and may be put again.
                self._retried(lambda: filesystem.pipe_file(key, data))
                return
            path = Path(self._path(digest))
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
                f"a result of {len(data)} bytes cannot be stored in {self.root}: {error}",
                remedy="free some space, or set SWATH_HOME to another disk",
            ) from error

    def _retried(self, request: Callable[[], Any]) -> Any:
        """What a bucket answers. Asked again when that fails, but not when there is no such object or no permission."""
        for number in range(self._limits.attempts - 1):
            try:
                return request()
            except (FileNotFoundError, PermissionError):
                raise
            except OSError:
                time.sleep(self._limits.first_pause_s * 2**number * random.uniform(0.5, 1.5))
        return request()
