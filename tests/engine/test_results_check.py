"""`pipe doctor --results`: every result is read; those that do not fit are removed with the rows that name them, others stay."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from swath.engine.journal import Journal
from swath.engine.results_check import check_results
from swath.engine.store import ResultStore
from swath.errors import Locked

LARGE, SMALL = np.arange(20_000), {"a": 1}


@contextlib.contextmanager
def free(value: bool = True) -> Iterator[bool]:
    yield value


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path, journal: Journal) -> ResultStore:
    """A large and a small result, and a row of the journal for each."""
    store = ResultStore(str(tmp_path / "results"), key=b"k" * 32)
    for key, value in (("large", LARGE), ("small", SMALL)):
        with journal.transaction():
            journal.write_results("run", [(key, store.put(value))])
    return store


def keys(journal: Journal) -> set[str]:
    return {row[0] for row in journal.execute("SELECT key FROM results")}


def test_results_as_they_were_written_stay(journal: Journal, store: ResultStore) -> None:
    checked = check_results(journal, store, free)
    assert (checked.files, checked.rows, checked.damaged) == (1, 1, ())
    assert keys(journal) == {"large", "small"}


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "row"])
def test_what_does_not_fit_is_removed_with_its_row_and_nothing_else(
    journal: Journal, store: ResultStore, damage: str
) -> None:
    (file,) = (each for each in Path(store.root).glob("*/*"))
    data = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "row":
        with journal.transaction():
            journal.execute("UPDATE results SET data = CAST('x' || SUBSTR(data, 2) AS BLOB) WHERE key = 'small'")
    else:
        data[len(data) // 2] ^= 1
        file.write_bytes(data if damage == "changed" else data[:-1])
    checked = check_results(journal, store, free)
    assert len(checked.damaged) == 1
    assert keys(journal) == ({"large"} if damage == "row" else {"small"})
    assert file.exists() == (damage == "row")
    assert check_results(journal, store, free).damaged == ()


def test_nothing_is_removed_while_a_run_is_running(journal: Journal, store: ResultStore) -> None:
    (file,) = Path(store.root).glob("*/*")
    file.write_bytes(b"x")
    with pytest.raises(Locked, match="1 damaged results are not removed while a run is running"):
        check_results(journal, store, lambda: free(value=False))
    assert keys(journal) == {"large", "small"}
