"""Turns of a watcher, with a clock and runs of the test: what is due or found gets one run, whenever which process ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swath.errors import NoSuchRun, SpecError
from swath.triggers.firing_rules import due_key
from swath.triggers.load import ProjectTriggers, read_triggers
from swath.triggers.look import Found, Look
from swath.triggers.schedule import instants_between
from swath.watch.project_runs import RunEnd
from swath.watch.store import TriggerStore
from swath.watch.watcher import Watcher


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Runs:
    """Runs that end when the test says so."""

    def __init__(self) -> None:
        self.started: list[tuple[str, list[str]]] = []
        self.ends: dict[str, RunEnd] = {}
        self.stopped: list[str] = []
        self.resumed: list[str] = []
        self.lost = False

    def new_id(self, trigger: str, key: str) -> str:
        return f"{trigger}-{key}"

    def start(self, run: str, spec: str, sets: Sequence[str], timeout_s: float | None) -> str:
        self.started.append((run, list(sets)))
        return run

    def end_of(self, run: str) -> RunEnd | None:
        if self.lost:
            raise NoSuchRun(run)
        return self.ends.get(run)

    def resume(self, run: str, timeout_s: float | None) -> bool:
        self.resumed.append(run)
        return True

    def stop(self, run: str, reason: str) -> None:
        self.stopped.append(run)

    def close(self) -> None: ...

    def end(self, status: str = "done", outputs: tuple[str, ...] = ()) -> None:
        """End the run that was started last."""
        self.ends[self.started[-1][0]] = RunEnd(status, "", outputs)


class EndlessLook:
    """A look that never has an answer: the test gives the answers."""

    def __init__(self, *_: Any) -> None: ...

    def done(self) -> bool:
        return False

    def close(self) -> None: ...


class Bench:
    """A project with a watcher that is driven by hand."""

    def __init__(self, folder: Path, triggers: str, start: str) -> None:
        self.folder, self.now, self.runs, self.said = folder, at(start), Runs(), list[str]()
        (folder / "lake.yaml").write_text("pipeline: predict\n")
        self.write(triggers)
        self.store = TriggerStore.open(folder / "state")
        self.watcher = self.new_process()

    def write(self, triggers: str) -> None:
        (self.folder / "swath.yaml").write_text(f"triggers:\n{triggers}\n")

    def new_process(self) -> Watcher:
        """Another process, with what is stored."""
        read = lambda: read_triggers(self.folder)  # noqa: E731
        self.watcher = Watcher(
            read,
            self.store,
            self.runs,
            9,
            clock=lambda: self.now,
            say=self.said.append,
            begin_look=EndlessLook,  # type: ignore[arg-type]
        )
        return self.watcher

    def turn(self, moment: str | None = None) -> None:
        if moment is not None:
            self.now = at(moment)
        self.watcher.turn()

    def find(self, *keys: str, cursor: Any = None, **values: Any) -> None:
        """Let the one sensor have found something."""
        project: ProjectTriggers = read_triggers(self.folder)
        ((name, trigger),) = ((name, each) for name, each in project.triggers.items() if hasattr(each, "existing"))
        found = tuple(Found(key, {"key": key, **values}) for key in keys)
        self.watcher.take(name, trigger, self.store.states()[name], Look(found, cursor))  # type: ignore[arg-type]

    def statuses(self, trigger: str = "a") -> list[tuple[str, str]]:
        return [(each.key, each.status or each.state) for each in reversed(self.store.firings(trigger))]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    benches = []

    def bench(triggers: str, start: str = "2026-01-05T00:00Z") -> Bench:
        benches.append(Bench(tmp_path, triggers, start))
        return benches[-1]

    yield bench
    for each in benches:
        each.store.__exit__(None, None, None)


HOURLY = "  a: {cron: '0 * * * *', spec: lake.yaml%s}"


def test_a_new_trigger_starts_nothing_of_the_past_and_then_one_run_for_each_instant(make: Any) -> None:
    bench = make(HOURLY % "")
    bench.turn("2026-01-05T09:30Z")
    assert bench.runs.started == []
    for minute in ("10:00:01", "10:00:02", "10:30:00"):
        bench.turn(f"2026-01-05T{minute}+00:00")
    assert bench.statuses() == [("2026-01-05T10:00:00Z", "started")]
    assert len(bench.runs.started) == 1


def test_values_of_the_due_instant_reach_the_run(make: Any) -> None:
    bench = make(HOURLY % ", set: {imagery.datetime: '${trigger:day-7d}/${trigger:day}', grid.resolution: 10}")
    bench.turn()
    bench.turn("2026-01-05T01:00Z")
    assert bench.runs.started[0][1] == ['imagery.datetime="2025-12-29/2026-01-05"', "grid.resolution=10"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 200), min_size=3, max_size=25), st.data())
def test_with_restarts_at_any_time_each_instant_is_fired_once(
    tmp_path_factory: pytest.TempPathFactory, minutes: list[int], data: st.DataObject
) -> None:
    bench = Bench(
        tmp_path_factory.mktemp("p"),
        "  a: {cron: '*/20 1-3 * * *', zone: Europe/Berlin, spec: lake.yaml, missed: all}",
        "2026-03-28T20:00Z",
    )
    with bench.store:
        bench.turn()
        first = bench.now
        for step in minutes:
            if data.draw(st.booleans()):
                bench.new_process()
            bench.now += step * 60
            bench.turn()
        trigger: Any = read_triggers(bench.folder).triggers["a"]
        due = instants_between(
            trigger.schedule(), datetime.fromtimestamp(first + 1, UTC), datetime.fromtimestamp(bench.now, UTC), 1000
        )
        assert [key for key, _ in bench.statuses()] == [due_key(each) for each in due][-50:]


def test_a_clock_that_is_set_back_fires_nothing_again(make: Any) -> None:
    bench = make(HOURLY % "")
    bench.turn()
    bench.turn("2026-01-05T01:00Z")
    bench.runs.end()
    for moment in ("2026-01-04T23:30Z", "2026-01-05T00:59Z", "2026-01-05T01:00Z", "2026-01-05T01:30Z"):
        bench.turn(moment)
    assert len(bench.runs.started) == 1


@pytest.mark.parametrize(("missed", "count"), [("skip", 0), ("last", 1), ("all", 3)])
def test_what_was_due_while_nothing_watched(make: Any, missed: str, count: int) -> None:
    bench = make(HOURLY % f", missed: {missed}")
    bench.turn()
    bench.new_process()
    bench.turn("2026-01-05T03:30Z")
    assert len(bench.statuses()) == count
    if missed != "all":
        assert f"{3 - count} missed instants were left out" in bench.store.ticks("a")[0].text


@pytest.mark.parametrize(("missed", "count"), [("", 0), ("last", 1), ("all", 3)])
def test_what_was_due_during_a_pause_is_another_question(make: Any, missed: str, count: int) -> None:
    bench = make(HOURLY % ", missed: all")
    bench.turn()
    bench.store.pause("a", "ada")
    bench.turn("2026-01-05T03:30Z")
    assert bench.statuses() == []
    bench.store.resume("a", bench.now, missed)
    bench.turn()
    assert len(bench.statuses()) == count
    bench.turn("2026-01-05T06:30Z")
    assert len(bench.statuses()) == count + 3, "the trigger's own rule counts again"


def test_a_changed_schedule_counts_from_now(make: Any) -> None:
    bench = make(HOURLY % "")
    bench.turn()
    bench.write("  a: {cron: '*/5 * * * *', spec: lake.yaml}")
    bench.turn("2026-01-05T03:31Z")
    assert bench.statuses() == []
    bench.turn("2026-01-05T03:35Z")
    assert bench.statuses() == [("2026-01-05T03:35:00Z", "started")]


def test_a_wrong_swath_yaml_is_told_once_and_changes_nothing(make: Any) -> None:
    bench = make(HOURLY % "")
    bench.turn()
    bench.write("  a: {cron: 'nonsense', spec: lake.yaml}")
    bench.turn("2026-01-05T01:00Z")
    bench.turn("2026-01-05T01:01Z")
    assert bench.statuses() == [("2026-01-05T01:00:00Z", "started")]
    assert sum("five fields" in line for line in bench.said) == 1
    with pytest.raises(SpecError):
        bench.new_process().turn()


def test_a_queued_run_waits_for_the_one_before(make: Any) -> None:
    bench = make(HOURLY % "")
    bench.turn()
    bench.turn("2026-01-05T01:00Z")
    bench.turn("2026-01-05T02:00Z")
    assert [status for _, status in bench.statuses()] == ["started", "queued"]
    bench.runs.end()
    bench.turn()
    assert [status for _, status in bench.statuses()] == ["done", "started"]


def test_skip_leaves_a_run_out_while_an_earlier_one_goes_on(make: Any) -> None:
    bench = make(HOURLY % ", overlap: skip")
    bench.turn()
    bench.turn("2026-01-05T01:00Z")
    bench.turn("2026-01-05T02:00Z")
    bench.runs.end()
    bench.turn("2026-01-05T03:00Z")
    assert [status for _, status in bench.statuses()] == ["done", "skipped", "started"]


def test_replace_stops_the_run_and_drops_what_is_queued(make: Any) -> None:
    bench = make(HOURLY % ", overlap: replace")
    bench.turn()
    for hour in ("01", "02", "03"):
        bench.turn(f"2026-01-05T{hour}:00Z")
    bench.turn()
    assert [status for _, status in bench.statuses()] == ["started", "replaced", "queued"]
    assert set(bench.runs.stopped) == {bench.runs.started[0][0]}
    bench.runs.end("interrupted")
    bench.turn()
    assert [status for _, status in bench.statuses()] == ["interrupted", "replaced", "started"]


def test_a_run_that_comes_too_late_expires(make: Any) -> None:
    bench = make(HOURLY % ", expires: 90m")
    bench.turn()
    bench.turn("2026-01-05T01:00Z")
    bench.turn("2026-01-05T02:00Z")
    bench.turn("2026-01-05T03:00Z")
    bench.turn("2026-01-05T03:31Z")
    assert [status for _, status in bench.statuses()] == ["started", "expired", "queued"]


def test_a_run_that_never_began_is_started_again_under_its_id(make: Any) -> None:
    bench = make(HOURLY % "")
    bench.turn()
    bench.turn("2026-01-05T01:00Z")
    bench.runs.lost = True
    bench.new_process()
    bench.turn()
    assert len(bench.runs.started) == 2
    assert len({run for run, _ in bench.runs.started}) == 1


FILES = "  a: {sensor: files, paths: 'in/*.tif', spec: lake.yaml%s}"


def test_what_is_there_at_the_first_look_gets_no_run_and_what_comes_gets_one(make: Any) -> None:
    bench = make(FILES % ", set: {imagery.paths: ['${found:key}']}")
    bench.store.begin("a", "x", 0)
    bench.find("old")
    bench.find("old", "new")
    bench.find("old", "new")
    bench.watcher._start_runs()
    assert bench.statuses() == [("new", "started")]
    assert bench.runs.started[0][1] == ['imagery.paths=["new"]']


def test_a_sensor_may_run_for_what_is_there(make: Any) -> None:
    bench = make(FILES % ", existing: run")
    bench.store.begin("a", "x", 0)
    bench.find("one", "two", cursor={"n": 2})
    assert [key for key, _ in bench.statuses()] == ["one", "two"]
    assert bench.store.states()["a"].cursor == {"n": 2}


def test_firings_and_cursor_are_stored_together_or_not_at_all(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make(FILES % ", existing: run")
    bench.store.begin("a", "x", 0)

    def fail(*_: Any) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("swath.watch.watcher.reached", fail)
    with pytest.raises(RuntimeError):
        bench.find("one", cursor=1)
    assert bench.statuses() == []
    assert bench.store.states()["a"].looked is None


FOLLOWED = (
    FILES % ", existing: run"
    + "\n  b: {after: a, spec: lake.yaml, set: {before: '${previous:output}', after: '${found:output}', day: '${found:day}'}}"
)


def test_a_run_that_is_done_is_followed_by_one_with_its_values_and_those_of_the_run_before(make: Any) -> None:
    bench = make(FOLLOWED)
    bench.turn()
    for key in ("one", "two", "three"):
        bench.find(key, day=f"day {key}")
        bench.turn()
        bench.runs.end("failed" if key == "two" else "done", (f"out/{key}/map.tif",))
        bench.turn()
    assert [status for _, status in bench.statuses("a")] == ["done", "failed", "done"]
    assert [status for _, status in bench.statuses("b")] == ["skipped", "started"]
    assert "no earlier run" in bench.store.firings("b")[1].text
    assert bench.runs.started[-1][1] == ['before="out/one"', 'after="out/three"', 'day="day three"']


def test_a_value_that_leads_out_is_refused_and_starts_nothing(make: Any) -> None:
    bench = make(FILES % ", existing: run, set: {output.to: 'out/${found:key}'}")
    bench.store.begin("a", "x", 0)
    bench.find("../../etc")
    bench.watcher._start_runs()
    assert bench.statuses() == [("../../etc", "refused")]
    assert bench.runs.started == []


def test_a_run_whose_process_is_gone_goes_on_but_not_for_ever(make: Any) -> None:
    bench = make(HOURLY % ", overlap: replace")
    bench.turn()
    bench.turn("2026-01-05T01:00Z")
    (run,) = (name for name, _ in bench.runs.started)
    bench.runs.end("crashed")
    bench.turn()
    assert (bench.runs.resumed, bench.statuses()) == ([run], [("2026-01-05T01:00:00Z", "started")])
    for _ in range(3):
        bench.turn()
    assert (bench.runs.resumed, bench.statuses()) == ([run] * 3, [("2026-01-05T01:00:00Z", "crashed")])
    bench.turn("2026-01-05T02:00Z")
    bench.turn("2026-01-05T03:00Z")
    bench.runs.end("crashed")
    bench.turn()
    assert len(bench.runs.resumed) == 3  # it was to be stopped for the next one
