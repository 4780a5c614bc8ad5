"""Journals of older versions."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from swath.engine import journal_schema
from swath.engine.journal import Journal
from swath.engine.journal_rows import NodeRow
from swath.engine.stored_result import StoredResult


def test_a_journal_of_an_older_version_is_brought_up_to_date_and_keeps_everything(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "journal.sqlite")
    old.executescript(journal_schema.MIGRATIONS[0] + "PRAGMA user_version = 1;")
    old.execute(
        "INSERT INTO runs (id, pipeline, name, spec_path, spec_text, overrides, cluster, root, status, started, host, pid,"
        " process_started) VALUES ('r', 'p', 'n', 's', 't', '[]', 'local', '/', 'done', 1.0, 'h', 1, 1.0)"
    )
    old.execute("INSERT INTO calls (run, node, item, key, state, attempt) VALUES ('r', 'a', -1, 'key', 'done', 1)")
    old.execute("INSERT INTO results VALUES ('key', 'digest', 3, x'616263', 1.0, 'r')")
    old.commit()
    old.close()
    with Journal.open(tmp_path) as journal:
        journal.write_nodes("r", [NodeRow("a", "code", "", "shared", "done")])
        assert journal.find("r").status == "done"
        assert [(call.node, call.item, call.cpu_s) for call in journal.calls("r")] == [("a", None, None)]
        assert journal.results(["key", "other"]) == {"key": StoredResult("digest", 3, b"abc")}
        assert list(journal.digests("r")) == [("a", None, "digest")]
        assert journal.nodes("r")[0].shared == "shared"


def test_a_journal_of_0_1_0_opens_and_its_runs_have_no_facts(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "journal.sqlite")
    old.executescript("".join(journal_schema.MIGRATIONS[:3]) + "PRAGMA user_version = 3;")
    old.execute(
        "INSERT INTO runs (id, pipeline, name, spec_path, spec_text, overrides, cluster, root, status, started, host, pid,"
        " process_started) VALUES ('r', 'p', 'n', 's', 't', '[]', 'local', '/', 'done', 1.0, 'h', 1, 1.0)"
    )
    old.commit()
    old.close()
    with Journal.open(tmp_path) as journal:
        assert journal.find("r").facts == {}
