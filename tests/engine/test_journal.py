from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from swath.engine import disk, journal_schema
from swath.engine.journal import Journal
from swath.engine.journal_rows import CallRow, NodeRow
from swath.engine.process import Process, process_start_s
from swath.engine.stored_result import StoredResult
from swath.errors import StateError
from tests.engine.conftest import run_row


def test_a_run_is_found_by_id_by_the_start_of_it_and_as_the_last(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("20260101-a", started=1.0))
        journal.start_run(run_row("20260102-b", started=2.0))
        assert journal.find("20260101-a").id == "20260101-a"
        assert journal.find("20260102").id == "20260102-b"
        assert journal.find("last").id == "20260102-b"
        assert [run.id for run in journal.runs()] == ["20260102-b", "20260101-a"]
        with pytest.raises(StateError, match="could be 20260101-a, 20260102-b"):
            journal.find("2026")
        with pytest.raises(StateError, match="did you mean 20260102-b"):
            journal.find("20260103-b")


def test_a_run_whose_process_is_gone_is_shown_as_crashed(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r", pid=child.pid, process_started=process_start_s(child.pid)))
        assert journal.find("r").status == "running"
        child.communicate(b"\n")
        assert journal.find("r").status == "crashed"


def test_a_later_process_with_the_same_pid_is_not_taken_for_the_run() -> None:
    me = Process.this()
    assert not me.gone()
    assert replace(me, started=me.started - 0.5).gone()
    assert not replace(me, host="elsewhere", started=0).gone()


def test_calls_and_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    call = CallRow("node", 3, "key", "done", 2, "w", 5.0, 0.25, "", "")
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        with journal.transaction():
            journal.write_calls("r", [call])
            journal.write_calls("r", [call._replace(node="single", item=None)])
            journal.write_results("r", [("key", StoredResult("digest", 3, b"abc"))])
    with Journal.open(tmp_path) as journal:
        assert list(journal.calls("r")) == [call, call._replace(node="single", item=None)]
        assert journal.results(["key", "other"]) == {"key": StoredResult("digest", 3, b"abc")}
        assert journal.results(["key"], "other run") == {}


def test_log_lines_are_selected_by_node_level_and_place(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        for level in ("info", "warning", "error"):
            journal.write_log("r", 1.0, level, f"a {level}", "n" if level == "info" else "")
        assert [line.text for line in journal.logs("r", level="warning")] == ["a warning", "a error"]
        assert [line.text for line in journal.logs("r", node="n")] == ["a info"]
        first = journal.logs("r")[0]
        assert len(journal.logs("r", after=first.id)) == 2


def test_nothing_of_a_transaction_that_failed_is_kept(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        with contextlib.suppress(ZeroDivisionError), journal.transaction():
            journal.write_results("r", [("key", StoredResult("d", 1, b"x"))])
            raise ZeroDivisionError
        assert journal.results(["key"]) == {}


def test_a_newer_journal_and_a_file_that_is_none_are_refused_with_exit_code_6(tmp_path: Path) -> None:
    Journal.open(tmp_path / "a").close()
    with sqlite3.connect(tmp_path / "a" / "journal.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError, match="newer swath") as caught:
        Journal.open(tmp_path / "a")
    assert caught.value.exit_code == 6
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "journal.sqlite").write_text("this is not a database, it is a letter" * 100)
    with pytest.raises(StateError, match="not a database"):
        Journal.open(tmp_path / "b")
    (tmp_path / "c").write_text("a file where the folder should be")
    with pytest.raises(StateError, match="SWATH_HOME"):
        Journal.open(tmp_path / "c")


def test_a_reader_sees_what_a_writer_commits_meanwhile(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as writer, Journal.open(tmp_path) as reader:
        writer.start_run(run_row("r"))
        with writer.transaction():
            writer.write_results("r", [("key", StoredResult("d", 1, b"x"))])
            assert reader.results(["key"]) == {}
        assert list(reader.results(["key"])) == ["key"]


def test_leases_are_there_until_they_are_ended(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        journal.write_lease("r", "partial", "some/folder")
        assert [lease.id for lease in journal.leases()] == ["some/folder"]
        journal.end_lease("some/folder")
        assert journal.leases() == []


def test_a_journal_of_an_older_version_is_brought_up_to_date_and_keeps_everything(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "journal.sqlite")
    old.executescript(journal_schema.STEPS[0] + "PRAGMA user_version = 1;")
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
    old.executescript("".join(journal_schema.STEPS[:3]) + "PRAGMA user_version = 3;")
    old.execute(
        "INSERT INTO runs (id, pipeline, name, spec_path, spec_text, overrides, cluster, root, status, started, host, pid,"
        " process_started) VALUES ('r', 'p', 'n', 's', 't', '[]', 'local', '/', 'done', 1.0, 'h', 1, 1.0)"
    )
    old.commit()
    old.close()
    with Journal.open(tmp_path) as journal:
        assert journal.find("r").facts == {}


def test_facts_of_a_run_stay_when_it_is_resumed_and_ends_without_new_ones(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        assert journal.find("r").facts == {}
        journal.finish_run("r", "failed", 1, "", [], {"model": "abc", "machines": ["c6i.large"]})
        journal.start_run(run_row("r"))
        assert journal.find("r").facts == {"model": "abc", "machines": ["c6i.large"]}
        journal.finish_run("r", "failed", 1, "", [])
        assert journal.find("r").facts == {"model": "abc", "machines": ["c6i.large"]}
        journal.finish_run("r", "done", 0, "", [], {"model": "xyz"})
        assert journal.find("r").facts == {"model": "xyz"}


def test_a_run_of_another_host_is_crashed_once_it_was_silent_for_fifteen_seconds(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        for name, silent in (("quick", 5), ("slow", 14), ("gone", 16)):
            journal.start_run(run_row(name, host="elsewhere"))
            _set_heartbeat(tmp_path, name, time.time() - silent)
        assert {run.id: run.status for run in journal.runs()} == {
            "quick": "running",
            "slow": "running",
            "gone": "crashed",
        }


def test_a_run_of_this_host_that_is_silent_is_running_and_says_for_how_long(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        assert journal.find("r").silent_s == 0
        _set_heartbeat(tmp_path, "r", time.time() - 100)
        assert journal.find("r").status == "running"
        assert 100 <= journal.find("r").silent_s < 110
        journal.write_heartbeat("r")
        assert journal.find("r").silent_s == 0


def test_a_clock_that_is_set_changes_nothing_of_which_process_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    me = Process.this()
    before = psutil.Process().create_time()
    real = psutil._pslinux.boot_time
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: real() + 3600)  # what the kernel then says
    assert psutil.Process().create_time() != before
    assert not me.gone()


def test_a_journal_on_a_network_file_system_has_no_wal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mounts").write_text(
        f"30 1 8:1 / / rw - ext4 /dev/sda rw\n31 30 0:9 / {tmp_path} rw - nfs4 server:/x rw\n"
    )
    monkeypatch.setattr(disk, "MOUNTS", tmp_path / "mounts")
    with Journal.open(tmp_path / "state") as journal:
        assert journal.shared_by == "nfs4"
        journal.start_run(run_row("r"))
        assert not list((tmp_path / "state").glob("*-wal"))
    monkeypatch.undo()
    with Journal.open(tmp_path / "local") as journal:
        assert journal.shared_by == ""
        journal.start_run(run_row("r"))
        assert list((tmp_path / "local").glob("*-wal"))


def test_a_locked_journal_is_waited_for_and_then_refused_with_exit_code_6(tmp_path: Path) -> None:
    with Journal.open(tmp_path, lock_timeout_s=0.2) as journal:
        other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="locked") as caught:
            journal.start_run(run_row("r"))
        assert "another process holds it" in caught.value.remedy
        other.execute("COMMIT")
        other.close()
        journal.start_run(run_row("r"))


def _set_heartbeat(state: Path, run: str, at: float) -> None:
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite")) as connection, connection:
        connection.execute("UPDATE runs SET heartbeat = ? WHERE id = ?", (at, run))
