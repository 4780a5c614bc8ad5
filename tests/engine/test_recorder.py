from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.engine.call import BatchResult, Call, CallOutcome, CallOutput, NodeContext
from swath.engine.journal import Journal
from swath.engine.journal_rows import CallRow, NodeRow
from swath.engine.recorder import LogLimits, Recorder
from swath.engine.store import ResultStore
from swath.engine.stored_result import StoredResult
from swath.events import CallDone, CallProgress, CallStarted, Event, Log, NodeDone, NodeOpened
from swath.testing import tasks
from tests.engine.conftest import run_row

RESULT = StoredResult("digest", 3, b"abc")
CALL = Call(NodeContext("run", "square", tasks.square, {}, ResultStore("memory://r"), mapped=True), 2, "key", (1,))
ROW = NodeRow("square", "code", "", "shared", "open")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("run"))
        yield journal


def test_a_finished_call_is_in_the_journal_before_its_event_is_emitted(journal: Journal) -> None:
    seen: list[tuple[str, int]] = []
    recorder = Recorder("run", journal, lambda event: seen.append((event.kind, len(journal.results(["key"])))))
    recorder.done(CALL, CallOutcome(0.5, 0.1, RESULT), RESULT, BatchResult(1, "worker-0", []))
    assert seen == []
    recorder.write()
    assert seen == [("call_done", 1)]
    (row,) = journal.calls("run")
    assert (row.node, row.item, row.state, row.worker, row.seconds) == ("square", 2, "done", "worker-0", 0.5)


def test_events_keep_their_order_whether_they_need_a_row_or_not(journal: Journal) -> None:
    events: list[Event] = []
    recorder = Recorder("run", journal, events.append)
    recorder.output(CallOutput("square", 2, 1, 5.0, "progress", done=1, total=2))
    assert [type(event) for event in events] == [CallProgress]
    recorder.opened(ROW, 3)
    recorder.output(CallOutput("square", 2, 1, 5.0, "progress", done=2, total=2))
    recorder.done(CALL, CallOutcome(0.5, 0.1, RESULT), RESULT, BatchResult(1, "worker-0", []))
    recorder.ended(ROW._replace(state="done"), 3)
    recorder.write()
    assert [type(event) for event in events] == [CallProgress, NodeOpened, CallProgress, CallDone, NodeDone]


def test_lines_of_calls_are_scrubbed_in_the_journal_and_in_events(journal: Journal) -> None:
    events: list[Event] = []
    recorder = Recorder("run", journal, events.append, lambda text: text.replace("s3cret", "***"))
    recorder.output(CallOutput("square", 2, 1, 5.0, "info", "key=s3cret", worker="worker-0"))
    recorder.write()
    assert [line.text for line in journal.logs("run")] == ["key=***"]
    assert [event.text for event in events if isinstance(event, Log)] == ["key=***"]


def test_lines_beyond_the_limits_are_shown_and_counted_but_not_stored(journal: Journal) -> None:
    events: list[Event] = []
    recorder = Recorder("run", journal, events.append, limits=LogLimits(lines=2, characters=10))
    for text in ("a" * 12, "b", "c", "d"):
        recorder.output(CallOutput("square", 2, 1, 5.0, "info", text))
    recorder.line("error", "of the engine itself")
    recorder.close()
    recorder.close()
    assert [line.text for line in journal.logs("run")] == [
        "a" * 10 + " ... (2 more characters)",
        "b",
        "the run has stored 2 lines: what calls print from now on is not stored",
        "of the engine itself",
        "2 lines of calls were not stored: a run has 2",
    ]
    assert [event.text for event in events if isinstance(event, Log)][:4] == ["a" * 12, "b", "c", "d"]
    journal.write_calls("run", [CallRow("square", 0, "key", "done", 1, "", 1.0, 0.1, "", "")])  # of an earlier session
    resumed = Recorder("run", journal, lambda event: None, limits=LogLimits(lines=6))
    resumed.output(CallOutput("square", 2, 1, 5.0, "info", "the last"))
    resumed.output(CallOutput("square", 2, 1, 5.0, "info", "too many"))
    resumed.write()
    assert "the last" in [line.text for line in journal.logs("run")]
    assert "too many" not in [line.text for line in journal.logs("run")]


def test_of_a_resumed_run_rows_of_items_that_it_has_no_more_are_deleted(journal: Journal) -> None:
    first = Recorder("run", journal, lambda event: None)
    for item in range(5):
        first.reused("square", item, f"key{item}", RESULT)
    first.write()
    resumed = Recorder("run", journal, lambda event: None)
    resumed.set_aside("square", 1)
    resumed.ended(ROW._replace(state="done"), 3)
    resumed.write()
    assert [row.item for row in journal.calls("run")] == [0, 2]


def test_that_a_call_starts_and_lines_of_the_run_are_events(journal: Journal) -> None:
    events: list[Event] = []
    recorder = Recorder("run", journal, events.append)
    recorder.output(CallOutput("square", 2, 1, 5.0, "started", worker="w1"))
    recorder.line("warning", "a line", "square")
    started, line = events
    assert isinstance(started, CallStarted)
    assert (started.node, started.item, started.worker, started.attempt, started.time) == ("square", 2, "w1", 1, 5.0)
    assert isinstance(line, Log)
    assert (line.level, line.text, line.node) == ("warning", "a line", "square")
