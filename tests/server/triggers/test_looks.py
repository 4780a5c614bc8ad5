"""Looks: at least once, by one agent at a time, and one run for each key, whichever answer comes when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from swath.protocol.triggers import LookWork
from swath.server.refusals import Conflict
from tests.server.triggers.conftest import Bench

NEWS = {"kind": "sensor", "sensor": "stac", "every": 600.0, "existing": "run", "set": {"day": "${found:key}"}}


@pytest.fixture
def news(bench: Bench) -> Bench:
    bench.report(news=NEWS)
    return bench


def taken(bench: Bench, agent: str = "desk") -> LookWork:
    work = bench.look("news", agent)
    assert work is not None
    return work


def test_each_key_gets_one_run_and_the_next_look_the_cursor(news: Bench) -> None:
    work = taken(news)
    assert (work.trigger, work.project, work.cursor) == ("news", "lakes", None)
    assert news.look("news") is None  # it has one already
    assert news.answer(work, "1", "2", cursor={"at": 5}) == 2
    assert news.firings("news") == {"1": "begun", "2": "waiting"}
    assert news.look("news") is None  # not yet
    news.now += 600
    work = taken(news)
    assert work.cursor == {"at": 5}
    assert news.answer(work, "2", "1", "3") == 1
    news.now += 600
    assert news.answer(taken(news), "3", text="9 items in the time looked at") == 0
    assert news.last("news") == "nothing: nothing new; 9 items in the time looked at"
    while news.open_runs():
        news.end()
        news.turn()
    assert list(news.firings("news").values()) == ["done"] * 3
    assert len(news.runs()) == 3


def test_what_is_there_at_the_first_look_gets_no_run_unless_asked_for(bench: Bench) -> None:
    bench.report(news={**NEWS, "existing": "skip"})
    work = bench.look("news")
    assert work is not None
    bench.answer(work, "1", more=True)
    bench.answer(work, "2")
    assert bench.runs() == []
    assert bench.last("news").startswith("nothing: first look: what is there already gets no run")
    bench.now += 600
    bench.answer(taken(bench), "1", "2", "3")
    assert len(bench.runs()) == 1


def test_an_agent_that_dies_with_a_look_is_replaced_and_heard_no_more(news: Bench) -> None:
    news.agent("boat")
    lost = taken(news)
    news.now += 30
    news.seen("desk")
    assert news.look("news", "boat") is None
    news.now += 61  # nothing is heard of desk
    again = taken(news, "boat")
    assert again.fence > lost.fence
    with pytest.raises(Conflict, match="given to another agent"):
        news.answer(lost, "1")
    news.answer(again, "1", agent="boat")
    with pytest.raises(Conflict, match="answered already"):
        news.answer(again, "1", agent="boat")
    assert len(news.runs()) == 1


def test_a_new_process_of_the_agent_and_a_look_without_end_are_not_waited_for(news: Bench) -> None:
    taken(news)
    news.agent("desk", session="session 2")
    news.agent("desk", session="session of desk")  # as it was: the look goes on
    assert news.look("news") is None
    for _ in range(12):  # its limit, and the time for the code and the answer
        news.now += 55
        news.seen("desk")
    assert news.look("news") is None
    news.now += 10
    assert taken(news).fence == 2


def test_two_agents_that_ask_at_once_do_not_get_one_look(news: Bench) -> None:
    news.agent("boat")
    while (work := news.claim()) is not None:
        if work.trigger:
            break
    news.now += 2000
    for agent in ("desk", "boat"):
        news.seen(agent)
    together = Barrier(2)

    def claim(agent: str) -> str:
        together.wait(60)
        found = news.services.triggers.looks.claim(news.agents[agent], f"session of {agent}")
        return found.id if found else ""

    with ThreadPoolExecutor(2) as pool:
        found = [each for each in pool.map(claim, ("desk", "boat")) if each]
    assert len(found) == len(set(found))


def test_a_look_that_fails_keeps_the_cursor_and_says_why(news: Bench) -> None:
    news.answer(taken(news), cursor=1)
    news.now += 600
    news.answer(taken(news), error="HTTP 503 of the catalogue")
    assert news.last("news") == "failed: HTTP 503 of the catalogue"
    news.now += 600
    assert taken(news).cursor == 1


def test_no_looks_while_too_many_runs_have_not_ended(bench: Bench) -> None:
    bench.report(news={**NEWS, "pending": 2})
    bench.answer(taken(bench), "1", "2", "3")
    bench.now += 600
    assert bench.look("news") is None
    assert bench.last("news") == "waiting: 3 runs have not ended (pending: 2)"
    for _ in range(2):
        bench.end()
        bench.turn()
    bench.now += 600
    assert taken(bench).trigger == "news"


def test_only_agents_with_the_labels_look_and_the_list_says_when_none_does(bench: Bench) -> None:
    bench.report(news={**NEWS, "labels": ["eu"]})
    assert bench.look("news") is None
    bench.now += 120
    assert bench.info("news").waits_for == (
        "no connected agent looks: it needs one with the project's code and the labels eu"
    )
    bench.agent("euro", "eu")
    assert bench.look("news", "euro") is not None


def test_by_hand_a_sensor_looks_at_once_and_a_key_is_run_again(news: Bench) -> None:
    by_hand = news.services.triggers.by_hand
    news.answer(taken(news), "1")
    news.end()
    news.turn()
    by_hand.fire("lakes", "news", None, who="ada")
    news.answer(taken(news))
    again = by_hand.fire("lakes", "news", "1", who="ada")
    assert again.run == news.open_runs()[0]
    news.services.triggers.definitions.pause("lakes", "news", who="ada")
    news.now += 3600
    assert news.look("news") is None


def test_a_sensor_that_looks_at_something_else_begins_anew_and_one_that_is_gone_leaves_its_runs(news: Bench) -> None:
    work = taken(news)
    news.report(news={**NEWS, "sensor": "files"})
    with pytest.raises(Conflict):
        news.answer(work, "1")
    news.answer(taken(news), "1")
    news.report()
    assert news.services.triggers.lists.all("lakes").triggers == ()
    assert len(news.open_runs()) == 1


def test_looks_that_nobody_can_make_are_in_nobodys_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swath.server.triggers.looks.AT_ONCE", 2)
    others = {f"s{number}": {"kind": "sensor", "sensor": "stac", "labels": ["none"]} for number in range(5)}
    bench.report(news=NEWS, **others)
    with bench.database.transaction() as db:
        db.execute("UPDATE looks SET due = 1 WHERE trigger_id IN (SELECT id FROM triggers WHERE name <> 'news')")
        db.execute(
            "UPDATE looks SET due = ? WHERE trigger_id IN (SELECT id FROM triggers WHERE name = 'news')", (bench.now,)
        )
        db.execute("UPDATE looks SET due = 1e12 WHERE trigger_id = ''")
    assert taken(bench).trigger == "news"
    assert bench.claim() is None
