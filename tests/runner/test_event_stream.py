"""Events on their way to listeners."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.events import Event, Listener, Log
from swath.runner.event_stream import EventStream


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path) as journal:
        journal.start_run(
            RunRow("r", "p", "n", "s", "", (), "inline", "/", "running", 1.0, None, None, "", "host", 1, 1.0, (), {})
        )
        yield journal


def stream(journal: Journal, *listeners: Listener) -> EventStream:
    return EventStream("r", journal, listeners, lambda text: text.replace("secret", "..."))


def log(text: str) -> Log:
    return Log(time=1.0, run="r", level="info", text=text)


def test_a_line_of_the_runner_goes_to_listeners_and_journal_without_secrets(journal: Journal) -> None:
    seen: list[Event] = []
    stream(journal, seen.append).say("warning", "the secret is out")
    assert [event.text for event in seen if isinstance(event, Log)] == ["the ... is out"]
    assert [(line.level, line.text) for line in journal.logs("r")] == [("warning", "the ... is out")]


def test_a_listener_that_raises_gets_no_more_events_and_the_others_hear_why(journal: Journal) -> None:
    calls = []
    seen: list[str] = []

    def faulty(event: Event) -> None:
        calls.append(event)
        raise KeyError("oops")

    def good(event: Event) -> None:
        assert isinstance(event, Log)
        seen.append(event.text)

    events = stream(journal, faulty, good)
    events.emit(log("first"))
    events.emit(log("second"))
    assert len(calls) == 1
    assert seen[0] == "first"
    assert seen[1].startswith("a listener raised KeyError: 'oops'; it gets no more events")
    assert seen[2:] == ["second"]


def test_a_listener_that_prints_and_logs_causes_no_events(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    class Captured(io.TextIOBase):
        """As the stdout of a call: every line is an event."""

        def write(self, text: str, /) -> int:
            if text.strip():
                events.emit(log(f"printed: {text}"))
            return len(text)

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            events.emit(log(f"logged: {record.getMessage()}"))

    def listener(event: Event) -> None:
        assert isinstance(event, Log)
        print(event.text)
        logging.getLogger("test_event_stream").warning(event.text)

    events = stream(journal, listener)
    logger, handler = logging.getLogger("test_event_stream"), Handler()
    logger.addHandler(handler)
    try:
        with contextlib.redirect_stdout(Captured()):  # type: ignore[type-var]
            print("hello")
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr().out == "printed: hello\n"
