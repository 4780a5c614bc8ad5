"""What is due gets one run, whichever server process fires it, and whatever became of the clock and of runs before."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest

from swath.errors import SpecError
from swath.server.database.database import Database
from swath.server.refusals import Refusal
from swath.server.services import Services
from swath.server.triggers.stored import StoredTrigger
from swath.triggers.firing_rules import due_key
from swath.triggers.schedule import instants_between
from swath.triggers.trigger import CronTrigger
from tests.server.triggers.conftest import Bench, at

NIGHTLY = {"cron": "30 2 * * *", "zone": "Europe/Berlin"}


def expected(first: str, last: str) -> list[str]:
    schedule = CronTrigger.model_validate({**NIGHTLY, "kind": "schedule", "spec": "lake.yaml"}).schedule()
    moments = (datetime.fromtimestamp(at(text), UTC) for text in (first, last))
    return [due_key(moment) for moment in instants_between(schedule, *moments, 100)]


def turn_together(*servers: Services) -> None:
    """Several server processes do what is to be done at the same moment."""
    together = Barrier(len(servers))

    def turn(server: Services) -> None:
        together.wait(60)
        server.triggers.scheduler.turn()

    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(turn, servers))


def test_a_schedule_asks_for_a_run_with_its_due_instant(bench: Bench) -> None:
    bench.put("nightly", **NIGHTLY, set={"output.to": "out/${trigger:day}"}, labels=["gpu"], timeout="1h")
    assert bench.turn() == 0
    assert bench.turn("2026-03-01T01:30:00+00:00") == 1
    (run,) = bench.runs()
    asked = json.loads(run["request"])
    assert (run["name"], run["pipeline"], run["requested_by"]) == ("lake", "predict", "trigger nightly")
    assert (asked["set"], asked["labels"], asked["timeout_s"]) == (['output.to="out/2026-03-01"'], ["gpu"], 3600)
    assert bench.last("nightly") == "fired: due 2026-03-01T01:30:00Z"
    assert bench.turn() == 0


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-03-27T00:00:00+00:00", "2026-03-31T00:00:00+00:00"),
        ("2026-10-23T00:00:00+00:00", "2026-10-27T00:00:00+00:00"),
    ],
)
def test_several_servers_fire_each_due_instant_once_also_when_the_clock_changes(
    database: Database, first: str, last: str
) -> None:
    bench = Bench(database, first)
    bench.put("nightly", **NIGHTLY)
    servers = [bench.services, bench.new_server(database), bench.new_server(database)]
    for step in range(1, 4 * 4 + 1):
        bench.now = at(first) + step * 6 * 3600 + 10
        if step % 3 == 0:  # all but one are away
            servers[step % 3].triggers.scheduler.turn()
        else:
            turn_together(*servers)
        while bench.open_runs():
            bench.end()
            bench.turn()
    assert list(bench.firings("nightly")) == expected(first, last)
    assert len(bench.runs()) == len(expected(first, last))


@pytest.mark.parametrize(("missed", "count"), [("skip", 0), ("last", 1), ("all", 3)])
def test_what_was_missed_while_no_server_was_there(bench: Bench, missed: str, count: int) -> None:
    bench.put("nightly", **NIGHTLY, missed=missed)
    bench.turn("2026-03-03T12:00:00+00:00")
    assert len(bench.firings("nightly")) == count
    if count < 3:
        outcome, _, text = bench.services.triggers.lists.one("lakes", "nightly").ticks[0].text.partition(" missed")
        assert (int(outcome), text) == (3 - count, f" instants were left out (missed: {missed})")
    assert bench.turn() == 0


def test_after_a_pause_nothing_is_made_up_for_unless_somebody_says_so(bench: Bench) -> None:
    bench.put("nightly", **NIGHTLY)
    definitions = bench.services.triggers.definitions
    for missed, count in (("skip", 0), ("all", 3)):
        definitions.pause("lakes", "nightly", who="ada")
        assert bench.info("nightly").waits_for == "paused by ada"
        bench.now += 3 * 86400
        bench.turn()
        definitions.resume("lakes", "nightly", missed, who="ada")
        bench.turn()
        assert len(bench.firings("nightly")) == count


def test_a_changed_schedule_and_a_clock_that_goes_back_fire_nothing_of_the_past(bench: Bench) -> None:
    bench.report(nightly=NIGHTLY)
    bench.turn("2026-03-01T01:30:00+00:00")
    bench.report(nightly={**NIGHTLY, "cron": "0 1 * * *"})
    bench.turn()
    bench.turn("2026-03-01T00:00:00+00:00")
    assert list(bench.firings("nightly")) == ["2026-03-01T01:30:00Z"]
    bench.turn("2026-03-02T00:00:00+00:00")
    assert list(bench.firings("nightly")) == ["2026-03-01T01:30:00Z", "2026-03-02T00:00:00Z"]


def test_the_triggers_of_a_project_are_those_of_its_newest_file(bench: Bench) -> None:
    commit = "a" * 40
    bench.services.projects.put("lakes", {"git": "https://example.org/lakes.git"}, who="test")
    with bench.database.transaction() as db:
        db.execute("UPDATE agents SET accepts = '[\"https://example.org/\"]'")
    bench.put("own", every="1h")
    assert bench.report(commit=commit, nightly=NIGHTLY, weekly={**NIGHTLY, "cron": "0 0 * * 1"}) == ""
    assert "was made on the server" in bench.report(commit=commit, nightly=NIGHTLY, own=NIGHTLY)
    page = bench.services.triggers.lists.all("lakes")
    assert {(each.name, each.origin) for each in page.triggers} == {("nightly", "file"), ("own", "server")}
    assert "odd" in bench.report(nightly=NIGHTLY, odd={"cron": "x"})
    assert bench.services.triggers.lists.all("seas").triggers == ()
    bench.report(commit=commit, nightly=NIGHTLY)
    bench.turn("2026-03-01T01:30:00+00:00")
    ref = {run["requested_by"]: json.loads(run["request"])["ref"] for run in bench.runs()}
    assert ref == {"trigger nightly": commit, "trigger own": None}


@pytest.mark.parametrize(
    ("overlap", "states"),
    [("queue", ["begun", "waiting"]), ("skip", ["begun", "skipped"]), ("replace", ["interrupted", "begun"])],
)
def test_overlap_is_decided_when_a_trigger_fires(bench: Bench, overlap: str, states: list[str]) -> None:
    bench.put("nightly", **NIGHTLY, overlap=overlap)
    for day in ("01", "02"):
        bench.turn(f"2026-03-{day}T01:30:00+00:00")
    bench.turn()
    assert list(bench.firings("nightly").values()) == states
    assert len(bench.open_runs()) == 1


def test_a_run_that_goes_on_is_stopped_for_the_next_one(bench: Bench) -> None:
    bench.put("nightly", **NIGHTLY, overlap="replace")
    bench.turn("2026-03-01T01:30:00+00:00")
    work = bench.services.queue.claim(bench.agents["desk"], "claim")
    assert work is not None
    bench.turn("2026-03-02T01:30:00+00:00")
    assert bench.services.queue.beat(work.run, 1).cancel == "replaced by 2026-03-02T01:30:00Z of the trigger nightly"
    assert len(bench.runs()) == 1  # the next one begins once this one has ended


def test_jitter_and_expiry(bench: Bench) -> None:
    bench.put("nightly", **NIGHTLY, jitter="10m", expires="1h")
    bench.turn("2026-03-01T01:30:00+00:00")
    assert bench.firings("nightly") == {"2026-03-01T01:30:00Z": "waiting"}
    bench.turn("2026-03-01T01:40:00+00:00")
    assert bench.firings("nightly") == {"2026-03-01T01:30:00Z": "begun"}
    bench.turn("2026-03-02T01:40:00+00:00")  # the run of yesterday still goes on
    bench.turn("2026-03-02T03:00:00+00:00")
    assert list(bench.firings("nightly").values()) == ["begun", "expired"]


def test_a_run_is_followed_once_with_what_it_gave(bench: Bench) -> None:
    bench.put("nightly", **NIGHTLY)
    bench.put("change", after="nightly", set={"map": "${found:output}", "before": "${previous:output}"})
    bench.put("alarm", after="nightly", status="failed")
    bench.turn("2026-03-01T01:30:00+00:00")
    first = bench.end(outputs=("out/1/map.tif",))
    other = bench.new_server(bench.database)
    turn_together(bench.services, other)
    assert bench.firings("change") == {first: "skipped"}  # there is none before it
    bench.turn("2026-03-02T01:30:00+00:00")
    bench.end(outputs=("out/2/map.tif",))
    bench.turn()
    (run,) = [each for each in bench.runs() if each["requested_by"] == "trigger change"]
    assert json.loads(run["request"])["set"] == ['map="out/2"', 'before="out/1"']
    bench.end()
    bench.turn("2026-03-03T01:30:00+00:00")
    failed = bench.end("failed")
    bench.turn()
    assert list(bench.firings("alarm")) == [failed]
    bench.services.queue.resume(failed, "ada")
    bench.end()  # the alarm's
    bench.end()
    bench.turn()
    assert failed in bench.firings("change")  # it is done after all


def test_runs_that_follow_each_other_in_a_circle_come_to_an_end(bench: Bench) -> None:
    bench.put("start", every="30d")
    bench.put("b", after="start")
    bench.put("c", after="b")
    bench.services.triggers.by_hand.fire("lakes", "start", None, who="ada")
    bench.end()
    bench.turn()
    bench.put("b", after="c")  # while its run goes on
    rounds = 0
    while bench.open_runs():
        bench.end()
        bench.turn()
        rounds += 1
        assert rounds < 50
    assert rounds == 20
    assert "more than 20 runs follow each other" in bench.last("b") + bench.last("c")


def test_a_run_that_lacks_a_value_is_refused_and_told(bench: Bench) -> None:
    bench.put("nightly", **NIGHTLY)
    bench.put("change", after="nightly", set={"x": "${found:area}"})
    bench.turn("2026-03-01T01:30:00+00:00")
    run = bench.end()
    bench.turn()
    assert bench.firings("change") == {run: "refused"}
    assert "${found:area} has no value in this firing" in bench.last("change")
    with pytest.raises(Refusal, match="finds nothing: it is a schedule"):
        bench.put("other", **NIGHTLY, set={"x": "${found:area}"})
    with pytest.raises(SpecError, match="a spec names its pipeline"):
        bench.put("other", **NIGHTLY, spec="name: lake\n")
    with pytest.raises(Refusal, match=r"sensors are written in the project's swath\.yaml"):
        bench.put("other", sensor="files", paths="/etc/*")


@pytest.mark.parametrize(
    "times", [{"start": "9999-12-31T00:00Z"}, {"start": "0001-01-01T00:00+14:00"}, {"jitter": float("inf")}, {"expires": 1e12}]
)  # fmt: skip
def test_times_without_end_are_refused(bench: Bench, times: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="expected"):
        bench.put("nightly", every="1d", **times)


def test_a_trigger_that_cannot_be_read_any_more_stands_in_the_list(bench: Bench) -> None:
    bench.put("nightly", every="1d")
    with bench.database.transaction() as db:
        db.execute("UPDATE triggers SET definition = ?", ('{"kind": "interval", "every": "never", "spec": "-"}',))
    assert "can read" in bench.info("nightly").what
    bench.turn("2026-03-02T00:00:01+00:00")
    assert bench.last("nightly").startswith("failed: this version of swath cannot read")


def test_values_that_are_too_deep_are_refused(bench: Bench) -> None:
    deep: Any = 1
    for _ in range(450):
        deep = [deep]
    with pytest.raises(Refusal, match="too deep"):
        bench.put("deep", every="1d", set={"x": deep})


def test_a_trigger_that_cannot_be_fired_holds_up_no_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bad", "good", "nice"):
        bench.put(name, every="1d")
    fire_due = bench.services.triggers.scheduler._fire_due

    def breaks(db: Any, stored: StoredTrigger, now: float) -> None:
        fire_due(db, stored, now)
        if stored.name == "bad":
            raise ZeroDivisionError

    monkeypatch.setattr(bench.services.triggers.scheduler, "_fire_due", breaks)
    bench.turn("2026-03-02T00:00:01+00:00")
    assert [len(bench.firings(name)) for name in ("bad", "good", "nice")] == [0, 1, 1]
    assert bench.last("bad").startswith("failed: the server could not fire it")
    assert bench.turn() == 0
