"""`pipe trigger`: what is shown, and what is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.process import Pipe
from tests.watch.projects import lines, marking


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    """The command as a process, in a project folder."""
    (tmp_path / "project").mkdir()
    return Pipe(tmp_path / "project")


TRIGGERS = (
    "  weekly: {cron: '30 2 * * 1', zone: Europe/Berlin, spec: mark.yaml, set: {word: '${trigger:day}'}}\n"
    "  new: {sensor: files, paths: 'in/*', quiet: 0, spec: mark.yaml, set: {word: '${found:name}'}}"
)


def test_triggers_are_listed_and_shown_before_anything_watched_them(pipe: Pipe) -> None:
    marking(pipe, TRIGGERS)
    done = pipe("trigger", "ls")
    assert "cron 30 2 * * 1 Europe/Berlin" in done.out
    assert "no `pipe watch` runs" in done.err
    shown = json.loads(pipe("trigger", "show", "weekly", "--json").out)
    assert len(shown["next_instants"]) == 5
    assert all(instant.endswith(("+0100", "+0200")) and " 02:30:00 " in instant for instant in shown["next_instants"])


def test_a_backfill_lists_first_and_runs_each_instant_once(pipe: Pipe) -> None:
    marking(pipe, TRIGGERS)
    words = ("trigger", "backfill", "weekly", "--from", "2026-03-23", "--to", "2026-04-07")
    dry = pipe(*words, "--dry")
    assert [line.split()[0] for line in dry.out.splitlines()] == [
        "2026-03-23T01:30:00Z", "2026-03-30T00:30:00Z", "2026-04-06T00:30:00Z",
    ]  # fmt: skip
    assert json.loads(pipe("trigger", "show", "weekly", "--json").out)["runs"] == []
    pipe(*words)
    assert "0 runs are queued, of 3" in pipe(*words).err
    pipe("watch", "--once")
    assert lines(pipe.folder) == ["2026-03-23", "2026-03-30", "2026-04-06"]


def test_a_run_by_hand_and_one_more_for_what_was_found(pipe: Pipe) -> None:
    marking(pipe, TRIGGERS)
    (pipe.folder / "in").mkdir()
    (pipe.folder / "in/old").touch()
    pipe("watch", "--once")
    assert lines(pipe.folder) == [], "what was there before gets no run"
    pipe("trigger", "fire", "new", "--key", "in/old")
    pipe("trigger", "fire", "weekly")
    pipe("watch", "--once")
    found = lines(pipe.folder)
    assert "old" in found
    assert len(found) == 2


def test_a_paused_trigger_says_by_whom_and_starts_nothing(pipe: Pipe) -> None:
    marking(pipe, "  tick: {every: 1s, spec: mark.yaml}")
    pipe("watch", "--once")
    pipe("trigger", "pause", "tick")
    assert "paused by" in pipe("trigger", "ls").out
    assert "paused already" in pipe("trigger", "pause", "tick", code=2).err
    pipe("watch", "--once")
    assert lines(pipe.folder) == []
    pipe("trigger", "resume", "tick", "--missed", "last")
    pipe("watch", "--once")
    assert len(lines(pipe.folder)) >= 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "gone"), "there are: weekly, new"),
        (("fire", "new", "--key", "gone"), "has found nothing under"),
        (("resume", "weekly"), "is not paused"),
        (("resume", "weekly", "--missed", "some"), "none of skip, last and all"),
        (("backfill", "new", "--from", "2026-01-01"), "is no schedule"),
        (("backfill", "weekly", "--from", "yesterday"), "no date or instant"),
    ],
)
def test_what_cannot_be_done_is_told(pipe: Pipe, words: tuple[str, ...], told: str) -> None:
    marking(pipe, TRIGGERS)
    assert told in pipe("trigger", *words, code=2).err
