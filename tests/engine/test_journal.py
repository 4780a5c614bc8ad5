from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from swath.engine import journal as journal_module
from swath.engine.journal import Journal
from swath.engine.journal_rows import CallRow, CancelRequest
from swath.engine.stored_result import DamagedResult, StoredResult
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


def test_an_id_that_is_there_is_no_new_run_and_only_a_run_that_ended_is_resumed(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r", name="first"))
        with pytest.raises(StateError, match="there is a run r already") as caught:
            journal.start_run(run_row("r", name="second"))
        assert caught.value.remedy == "go on with: pipe resume r"
        assert journal.find("r").name == "first"
        with pytest.raises(StateError, match="r is running"):
            journal.resume_run(run_row("r"))
        with pytest.raises(StateError, match="there is no run 'other'"):
            journal.resume_run(run_row("other"))
        journal.finish_run("r", "failed", 1, "wrong", [])
        journal.resume_run(run_row("r", name="second"))
        assert (journal.find("r").status, journal.find("r").error, journal.find("r").name) == ("running", "", "first")


def test_a_request_to_cancel_stays_until_the_run_is_resumed(tmp_path: Path) -> None:
    first, second = CancelRequest("ada@desk", "wrong area", 1.0), CancelRequest("bob@desk", "", 2.0)
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        assert journal.cancel_request("r") is None
        assert journal.cancel_request("unknown") is None
        journal.request_cancel("r", first)
        journal.request_cancel("r", second)
        assert journal.cancel_request("r") == first
        assert (str(first), str(second)) == ("cancelled by ada@desk: wrong area", "cancelled by bob@desk")
        journal.finish_run("r", "interrupted", 130, "", [])
        journal.resume_run(run_row("r"))
        assert journal.cancel_request("r") is None
        journal.finish_run("r", "done", 0, "", [])
        journal.request_cancel("r", first)
        assert journal.cancel_request("r") is None


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


def test_a_result_in_the_row_of_another_call_is_not_its_result(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        journal.write_results(
            "r", [("a", StoredResult("digest a", 3, b"abc")), ("b", StoredResult("digest b", 3, b"xyz"))]
        )
        journal.write_calls("r", [CallRow("node", 0, "a", "done", 1, "w", 5.0, 0.25, "", "")])
        journal.execute(
            "UPDATE results SET (digest, size, data) = (SELECT digest, size, data FROM results WHERE key = 'b') WHERE key = 'a'"
        )
        with pytest.raises(DamagedResult, match="the row of a in the journal is another call's"):
            journal.results(["a", "b"])
        with pytest.raises(DamagedResult, match="the row of a in the journal is another call's"):
            list(journal.results_of("r", "node"))
        assert journal.results(["a", "b"], skip_damaged=True) == {"b": StoredResult("digest b", 3, b"xyz")}
        journal.execute("UPDATE results SET checksum = NULL")  # of an earlier version
        assert len(journal.results(["a", "b"])) == 2


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


def test_facts_of_a_run_stay_when_it_is_resumed_and_ends_without_new_ones(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        assert journal.find("r").facts == {}
        journal.finish_run("r", "failed", 1, "", [], {"model": "abc", "machines": ["c6i.large"]})
        journal.resume_run(run_row("r"))
        assert journal.find("r").facts == {"model": "abc", "machines": ["c6i.large"]}
        journal.finish_run("r", "failed", 1, "", [])
        assert journal.find("r").facts == {"model": "abc", "machines": ["c6i.large"]}
        journal.finish_run("r", "done", 0, "", [], {"model": "xyz"})
        assert journal.find("r").facts == {"model": "xyz"}


def test_a_journal_on_a_network_file_system_has_no_wal(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(
        f"30 1 8:1 / / rw - ext4 /dev/sda rw\n31 30 0:9 / {tmp_path} rw - nfs4 server:/x rw\n"
    )
    with Journal.open(tmp_path / "state", mounts=tmp_path / "mounts") as journal:
        assert journal.network_fs == "nfs4"
        journal.start_run(run_row("r"))
        assert not list((tmp_path / "state").glob("*-wal"))
    with Journal.open(tmp_path / "local") as journal:
        assert journal.network_fs == ""
        journal.start_run(run_row("r"))
        assert list((tmp_path / "local").glob("*-wal"))


def test_a_locked_journal_is_waited_for_and_then_refused_with_exit_code_6(tmp_path: Path) -> None:
    with Journal.open(tmp_path, lock_timeout_s=0.2) as journal:
        other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="locked") as caught:
            journal.start_run(run_row("r"))
        assert "another process has locked it" in caught.value.remedy
        other.execute("COMMIT")
        other.close()
        journal.start_run(run_row("r"))


def test_the_time_between_the_sessions_of_a_run_is_not_part_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(journal_module.time, "time", lambda: now)
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r", started=1000.0))
        now = 1010.0
        journal.finish_run("r", "interrupted", 130, "", [])
        assert (journal.find("r").seconds, journal.find("r").paused_s) == (10.0, 0.0)
        now = 5000.0
        journal.resume_run(run_row("r"))
        now = 5007.0
        assert journal.find("r").seconds == 17.0
        journal.write_heartbeat("r")
        journal.execute("UPDATE runs SET status = 'crashed', finished = NULL")
        assert journal.find("r").seconds is None
        now = 9007.0
        journal.resume_run(run_row("r"))
        now = 9010.0
        journal.finish_run("r", "done", 0, "", [])
        row = journal.find("r")
    assert (row.seconds, row.paused_s) == (20.0, 7990.0)
