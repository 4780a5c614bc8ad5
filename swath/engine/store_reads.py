"""Many requests to a bucket at the same time: results read ahead in order, and which of many results are there."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from swath.engine.stored_result import StoredResult

T = TypeVar("T")


@dataclass(frozen=True)
class ReadLimits:
    """How much is asked of a bucket at the same time."""

    requests: int = 80
    ahead_bytes: int = 64 * 2**20
    """Results that are read ahead and wait for their turn; one is always read, however large it is."""
    single_lookups: int = 1024
    """So many results are asked for one by one; when more are, the bucket is listed: a page names 1,000 objects."""


class ReadStore(Protocol):
    """What is used of a result store."""

    @property
    def remote(self) -> bool:
        """Whether each read is a request to a bucket."""
        ...

    def get(self, stored: StoredResult, *, once: bool = False) -> Any:
        """A stored value."""
        ...


def read_in_order(
    store: ReadStore, results: Iterable[StoredResult], limits: ReadLimits = ReadLimits()
) -> Iterator[Any]:
    """The values of results, in their order. From a bucket they are read ahead in threads; from a folder one by one."""
    if not store.remote:
        for stored in results:
            yield store.get(stored, once=True)
        return
    waiting: deque[tuple[StoredResult, Future[Any] | None]] = deque()
    ahead = 0
    source = iter(results)
    following = next(source, None)
    with _threads(limits) as pool:
        while following is not None or waiting:
            while following is not None and (
                not waiting or (len(waiting) < 2 * limits.requests and ahead + following.size <= limits.ahead_bytes)
            ):
                small = following.data is not None
                waiting.append((following, None if small else pool.submit(store.get, following, once=True)))
                ahead += following.size
                following = next(source, None)
            stored, future = waiting.popleft()
            value = store.get(stored, once=True) if future is None else future.result()
            ahead -= stored.size
            yield value


def ask_all(ask: Callable[[StoredResult], T], results: Sequence[StoredResult], limits: ReadLimits) -> list[T]:
    """The answers for all results, in their order. The first error is raised."""
    if len(results) < 2:
        return [ask(each) for each in results]
    with _threads(limits) as pool:
        return list(pool.map(ask, results))


@contextlib.contextmanager
def _threads(limits: ReadLimits) -> Iterator[ThreadPoolExecutor]:
    """Threads for requests. At the end none is begun any more, and those that run are not waited for."""
    pool = ThreadPoolExecutor(limits.requests, thread_name_prefix="swath-store")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Listing:
    """Sizes of a bucket's results, listed folder by folder when more are asked for than single requests are worth.

    It is evidence of what is there only: what was written after the listing is asked for by itself. From any thread.
    """

    def __init__(self, sizes: Callable[[str], dict[str, int]], limits: ReadLimits) -> None:
        """sizes: digest -> size of all results whose digests begin with two given digits."""
        self._sizes = sizes
        self._limits = limits
        self._asked = 0
        self._listed: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def sized(self, results: Sequence[StoredResult]) -> dict[str, int]:
        """Digest -> size of those that are listed; empty while few have been asked for."""
        with self._lock:
            self._asked += len(results)
            if self._asked <= self._limits.single_lookups:
                return {}
            missing = sorted({each.digest[:2] for each in results} - self._listed.keys())
            with _threads(self._limits) as pool:
                self._listed.update(zip(missing, pool.map(self._sizes, missing), strict=True))
            return {
                each.digest: size
                for each in results
                if (size := self._listed[each.digest[:2]].get(each.digest)) is not None
            }
