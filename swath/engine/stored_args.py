"""Stored results in the arguments of calls: one, a part of one, or all of a mapped node as a lazy sequence."""

from __future__ import annotations

import bisect
import hashlib
import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

from swath.engine.store import ResultStore
from swath.engine.stored_result import StoredResult
from swath.engine.value_hash import DIGITS
from swath.graph.ref import fill, select

PAGE_ITEMS = 1000
PAGE_BYTES = 2**20
"""References to results travel in pages of at most so many, so that no call holds those of a million."""


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
    def write(cls, results: Iterable[StoredResult], store: ResultStore) -> StoredItems:
        """Put references into the store, page by page."""
        state = hashlib.sha256()
        pages: list[StoredResult] = []
        starts = [0]
        page: list[tuple[Any, ...]] = []
        size = 0

        def turn() -> None:
            digest = hashlib.sha256("".join(stored[0] for stored in page).encode()).hexdigest()[:DIGITS]
            pages.append(store.keep(digest, pickle.dumps(page, 5)))
            starts.append(starts[-1] + len(page))

        for stored in results:
            state.update(stored.digest.encode())
            page.append(tuple(stored))
            size += len(stored.data or b"")
            if len(page) == PAGE_ITEMS or size > PAGE_BYTES:
                turn()
                page, size = [], 0
        if page:
            turn()
        return cls(state.hexdigest()[:DIGITS], tuple(pages), tuple(starts))


class LazyItems(Sequence[Any]):
    """The results of a mapped node as its consumer sees them: each is loaded when it is asked for, and not held."""

    def __init__(self, store: ResultStore, kept: StoredItems) -> None:
        self._store = store
        self._kept = kept
        self._page: tuple[int, list[tuple[Any, ...]]] = (-1, [])

    def __len__(self) -> int:
        return self._kept.starts[-1]

    @overload
    def __getitem__(self, item: int) -> Any: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[Any]: ...
    def __getitem__(self, item: int | slice) -> Any:
        if isinstance(item, slice):
            return [self[number] for number in range(*item.indices(len(self)))]
        number = range(len(self))[item]
        page = bisect.bisect_right(self._kept.starts, number) - 1
        if self._page[0] != page:
            self._page = (page, self._store.get(self._kept.pages[page]))
        return self._store.get(StoredResult(*self._page[1][number - self._kept.starts[page]]), once=True)

    def __iter__(self) -> Iterator[Any]:
        for page in self._kept.pages:
            for stored in self._store.get(page):
                yield self._store.get(StoredResult(*stored), once=True)

    def __dask_tokenize__(self) -> str:
        return self._kept.digest

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, (list(self),))


def load_arguments(template: Any, store: ResultStore) -> Any:
    """The template with every stored result in its place."""

    def put(kept: StoredArgument | StoredItems) -> Any:
        if isinstance(kept, StoredItems):
            return select(LazyItems(store, kept), kept.path)
        return select(store.get(kept.stored), kept.path)

    return fill(template, (StoredArgument, StoredItems), put)
