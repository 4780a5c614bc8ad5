"""Stored results in the arguments of calls: one, a part of one, or all of a mapped node as a lazy sequence."""

from __future__ import annotations

import bisect
import hashlib
import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

from swath.engine.store import ResultStore
from swath.engine.store_reads import read_in_order
from swath.engine.stored_result import StoredResult
from swath.engine.value_hash import DIGITS
from swath.graph.ref import fill, select


@dataclass(frozen=True)
class PageLimits:
    """References to results travel in pages of at most so many, so that no call has those of a million in memory."""

    items: int = 1000
    bytes: int = 2**20
    """Of small results, which are in the page themselves."""


class StoredArgument(NamedTuple):
    """A stored result, or a part of it."""

    stored: StoredResult
    path: tuple[tuple[str, Any], ...] = ()

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (self.stored.digest, self.path) if self.path else (self.stored.digest,)


class StoredItems(NamedTuple):
    """The results of a mapped node, in order, without those that were set aside."""

    digest: str
    """Of the results' digests, however they are spread over pages."""
    pages: tuple[StoredResult, ...]
    """Each a list of the fields of `StoredResult`."""
    starts: tuple[int, ...]
    """Number of the first item of each page, and behind the last the number of items."""
    path: tuple[tuple[str, Any], ...] = ()

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (self.digest, self.path)

    @classmethod
    def write(
        cls, results: Iterable[StoredResult], store: ResultStore, limits: PageLimits = PageLimits()
    ) -> StoredItems:
        """Put references into the store, page by page."""
        state = hashlib.sha256()
        pages: list[StoredResult] = []
        starts = [0]
        page: list[tuple[Any, ...]] = []
        size = 0

        def write_page() -> None:
            # Of all its bytes, not of the results' digests only: stores cache by digest, and the same small result may have been
            # damaged in one page and be intact in a later one.
            data = pickle.dumps(page, 5)
            pages.append(store.put_pickle(hashlib.sha256(data).hexdigest()[:DIGITS], data))
            starts.append(starts[-1] + len(page))

        for stored in results:
            state.update(stored.digest.encode())
            page.append(tuple(stored))
            size += len(stored.data or b"")
            if len(page) == limits.items or size > limits.bytes:
                write_page()
                page, size = [], 0
        if page:
            write_page()
        return cls(state.hexdigest()[:DIGITS], tuple(pages), tuple(starts))


class LazyItems(Sequence[Any]):
    """The results of a mapped node as a task gets them: each is loaded when it is read, and not cached."""

    def __init__(self, store: ResultStore, items: StoredItems) -> None:
        self._store = store
        self._items = items
        self._page: tuple[int, list[tuple[Any, ...]]] = (-1, [])

    def __len__(self) -> int:
        return self._items.starts[-1]

    @overload
    def __getitem__(self, item: int) -> Any: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[Any]: ...
    def __getitem__(self, item: int | slice) -> Any:
        if isinstance(item, slice):
            return [self[number] for number in range(*item.indices(len(self)))]
        number = range(len(self))[item]
        page = bisect.bisect_right(self._items.starts, number) - 1
        if self._page[0] != page:
            self._page = (page, self._store.get(self._items.pages[page]))
        return self._store.get(StoredResult(*self._page[1][number - self._items.starts[page]]), once=True)

    def __iter__(self) -> Iterator[Any]:
        return self.between(0, len(self))

    def between(self, start: int, stop: int) -> Iterator[Any]:
        """The items from `start` to before `stop`, each loaded when it is read, or a little earlier."""
        return read_in_order(self._store, self._stored(start, stop))

    def _stored(self, start: int, stop: int) -> Iterator[StoredResult]:
        first = max(0, bisect.bisect_right(self._items.starts, start) - 1)
        for page, begins in zip(self._items.pages[first:], self._items.starts[first:], strict=False):
            if begins >= stop:
                return
            for stored in self._store.get(page)[max(0, start - begins) : stop - begins]:
                yield StoredResult(*stored)

    def __dask_tokenize__(self) -> str:
        return self._items.digest

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, (list(self),))


def load_arguments(template: Any, store: ResultStore) -> Any:
    """The template with every stored result in its place."""

    def load(stored: StoredArgument | StoredItems) -> Any:
        if isinstance(stored, StoredItems):
            return select(LazyItems(store, stored), stored.path)
        return select(store.get(stored.stored), stored.path)

    return fill(template, (StoredArgument, StoredItems), load)
