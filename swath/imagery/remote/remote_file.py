"""A remote file, read by ranges: its size, its etag, its first bytes, and any other bytes when they are asked for."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import PurePosixPath

from swath.errors import ReadFailed
from swath.imagery.remote.range_cache import configured_cache
from swath.imagery.remote.range_request import fetch_range
from swath.imagery.remote.request_policy import POLICY, RequestPolicy
from swath.storage.address import redacted

FIRST_BYTES = 16384
"""Bytes of the first request, and the least of any other. The headers of most COGs fit in here."""
RANGE_BYTES = 4 * 2**20
"""A longer range is fetched as several of about this size, some at once."""


class RemoteFile:
    """A remote file that is opened by one request. Raises what fetch_range raises, at once when there is no such file."""

    def __init__(self, href: str, policy: RequestPolicy = POLICY) -> None:
        self.href = href
        self._policy = policy
        first = fetch_range(href, 0, FIRST_BYTES, policy)
        self.size, self.etag, self.head = first.size, first.etag, first.data
        self._last = (0, first.data)
        """Start and bytes of the range that was fetched last."""

    @property
    def name(self) -> str:
        """A unique path for GDAL, without the secrets of the address."""
        return f"{next(_numbers)}/{PurePosixPath(redacted(self.href)).name}"

    def ranges(self, wanted: list[tuple[int, int]]) -> list[bytes]:
        """The bytes of each (start, stop), cut at the file's end. Long ranges and several ones are fetched in parallel."""
        parts = [_split(start, min(stop, self.size)) for start, stop in wanted]
        every = [part for each in parts for part in each]
        if len(every) == 1:
            found = iter([self._range(*every[0])])
        else:
            found = iter(_pool(os.getpid(), self._policy.per_host).map(lambda part: self._range(*part), every))
        return [b"".join(next(found) for _ in each) for each in parts]

    def _range(self, start: int, stop: int) -> bytes:
        at, last = self._last
        if at <= start and stop <= at + len(last):
            return last[start - at : stop - at]
        # A few bytes of a header are followed by the next ones: more is fetched at once.
        end = min(max(stop, start + FIRST_BYTES), self.size)
        cache = configured_cache() if self.etag else None
        data = cache.get(self.href, self.etag, start, end) if cache is not None else None
        if data is None:
            response = fetch_range(self.href, start, end, self._policy)
            if (response.size, response.etag) != (self.size, self.etag):
                raise ReadFailed(
                    f"{redacted(self.href)}: the file changed while it was read",
                    remedy="Run again, to read it as it is now.",
                )
            data = response.data
            if cache is not None:
                cache.put(self.href, self.etag, start, end, data)
        if end > stop:
            self._last = (start, data)
        return data[: stop - start]


_numbers = itertools.count()


def _split(start: int, stop: int) -> list[tuple[int, int]]:
    """A range in parts of about RANGE_BYTES; none when it is empty."""
    count = max(1, (stop - start) // RANGE_BYTES)
    edges = [start + (stop - start) * number // count for number in range(count + 1)]
    return list(itertools.pairwise(edges)) if stop > start else []


@lru_cache(maxsize=4)
def _pool(pid: int, per_host: int) -> ThreadPoolExecutor:
    """Threads of this process that wait for servers. How many ask one host at a time is limited by fetch_range."""
    return ThreadPoolExecutor(2 * per_host, "fetch")
