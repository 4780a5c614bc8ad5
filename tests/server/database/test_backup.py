from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from swath.errors import StateError, UsageError
from swath.server.database.backup import copy_database
from swath.server.database.open import open_database, version_of
from swath.server.database.schema import STEPS

ADD = "INSERT INTO meta (name, value) VALUES (?, ?)"


def test_a_copy_is_made_while_a_server_writes_and_is_whole(tmp_path: Path) -> None:
    file, begun, stop, written = tmp_path / "server.sqlite", threading.Event(), threading.Event(), [0]
    database = open_database(str(file))

    def write() -> None:
        while not stop.is_set():
            with database.transaction() as db:  # two rows belong together
                db.execute(ADD, (f"a{written[0]}", ""))
                db.execute(ADD, (f"b{written[0]}", ""))
            written[0] += 1
            begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert begun.wait(60)
        sizes = [copy_database(file, tmp_path / f"copy{number}") for number in range(5)]
    finally:
        stop.set()
        thread.join()
        database.close()
    for number, size in enumerate(sizes):
        copy = tmp_path / f"copy{number}"
        assert copy.stat().st_mode & 0o777 == 0o600
        assert copy.stat().st_size == size
        with sqlite3.connect(copy) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert (
                len({db.execute("SELECT count(*) FROM meta WHERE name LIKE ?", (f"{x}%",)).fetchone() for x in "ab"})
                == 1
            )
    with pytest.raises(UsageError, match="exists"):
        copy_database(file, tmp_path / "copy0")
    with pytest.raises(UsageError, match="no database"):
        copy_database(tmp_path / "none", tmp_path / "copy")
    (tmp_path / "broken").write_text("no database at all, but long enough to be one" * 100)
    with pytest.raises(StateError):
        copy_database(tmp_path / "broken", tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir() if "tmp" in path.name) == []


def test_of_an_older_file_a_copy_is_made_before_its_tables_are_changed(tmp_path: Path) -> None:
    file = tmp_path / "server.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.execute(ADD, ("version", "1"))
        for statement in STEPS[0].split(";"):
            db.execute(statement)
    db.close()
    assert version_of(str(file)) == 1
    open_database(str(file)).close()
    assert version_of(str(file)) == len(STEPS)
    assert version_of(str(tmp_path / "server.v1.sqlite")) == 1
    with pytest.raises(UsageError, match="no database"):
        version_of(str(tmp_path / "none.sqlite"))
