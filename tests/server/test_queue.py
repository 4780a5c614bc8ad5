"""The queue on both databases: who gets which run, what a newer attempt means for an older one, and how runs end."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from swath.protocol.messages import Beat, End, Gone, Line, RunRequest
from swath.server.database.database import Database
from swath.server.labels import joined
from swath.server.queue import Queue, QueueLimits
from swath.server.refusals import Conflict, NotFound

DONE = End(status="done", exit_code=0, outputs=("out/map.tif",))


class Bench:
    """A queue with a clock that tests set, and what they need around it."""

    def __init__(self, database: Database) -> None:
        self.now = 1000.0
        self.database = database
        self.queue = Queue(database, QueueLimits(gap_s=1e9), clock=lambda: self.now)
        self.queue.settle()
        self.runs = 0
        with database.transaction() as db:
            db.execute(
                "INSERT INTO tokens (id, hash, kind, name, role, created) VALUES ('t', 'h', 'agent', 'agents', 'runner', 0)"
            )

    def project(self, name: str) -> str:
        with self.database.transaction() as db:
            source = json.dumps({"folder": f"/{name}"})
            db.execute("INSERT INTO projects (id, name, source, created) VALUES (?, ?, ?, 0)", (name, name, source))
        return name

    def agent(self, name: str, *labels: str, slots: int = 1000) -> str:
        with self.database.transaction() as db:
            db.execute(
                "INSERT INTO agents (id, name, token, labels, slots, version, session, registered, seen)"
                " VALUES (?, ?, 't', ?, ?, '', '', 0, 0)",
                (name, name, joined(labels), slots),
            )
        return name

    def submit(self, project: str = "lakes", key: str | None = None, **request: object) -> str:
        self.runs += 1
        self.now += 1
        asked = RunRequest.model_validate({"project": project, "spec": "pipeline: predict", **request})
        run, _ = self.queue.submit(asked, f"run-{self.runs:03}", "predict", "predict", "ada", key)
        return run

    def state(self, run: str) -> tuple[str, str, int]:
        with self.database.reading() as db:
            row = db.execute("SELECT state, status, attempt FROM runs WHERE id = ?", (run,))[0]
        return row["state"], row["status"], row["attempt"]

    def claim(self, agent: str, claim: str = "") -> str | None:
        self.now += 1
        work = self.queue.claim(agent, claim or f"claim at {self.now}")
        return work.run if work else None


@pytest.fixture
def bench(database: Database) -> Bench:
    bench = Bench(database)
    bench.project("lakes")
    return bench


def line(number: int, text: str = "") -> Line:
    return Line(id=number, time=5.0, level="info", text=text or f"line {number}")


def test_the_oldest_of_the_highest_priority_is_claimed_first(bench: Bench) -> None:
    agent = bench.agent("desk")
    low, high, later = bench.submit(), bench.submit(priority=5), bench.submit(priority=5)
    assert [bench.claim(agent) for _ in range(4)] == [high, later, low, None]


def test_an_agent_gets_runs_whose_labels_it_has(bench: Bench) -> None:
    bare, gpu = bench.agent("bare"), bench.agent("gpu", "gpu", "eu")
    anywhere, there = bench.submit(), bench.submit(labels=["eu", "gpu"], priority=9)
    assert bench.claim(bare) == anywhere
    assert bench.claim(bare) is None
    assert bench.claim(gpu) == there


def test_projects_take_turns(bench: Bench) -> None:
    agent = bench.agent("desk")
    bench.project("forests")
    lakes = [bench.submit() for _ in range(3)]
    forests = [bench.submit("forests") for _ in range(2)]
    assert [bench.claim(agent) for _ in range(5)] == [lakes[0], forests[0], lakes[1], forests[1], lakes[2]]


def test_slots_and_limits_bound_what_goes_on_at_once(bench: Bench) -> None:
    agent = bench.agent("desk", slots=2)
    other = bench.agent("other")
    with bench.database.transaction() as db:
        db.execute("INSERT INTO limits (project, name, most) VALUES ('lakes', 'api', 1)")
    first, second, free = bench.submit(limit_key="api"), bench.submit(limit_key="api"), bench.submit()
    assert [bench.claim(agent) for _ in range(3)] == [first, free, None]
    assert bench.claim(other) is None  # `second` waits for its limit
    bench.queue.beat(first, 1)
    bench.queue.end(first, 1, DONE)
    assert bench.claim(other) == second


def test_a_claim_whose_answer_was_lost_gets_the_same_run_and_a_new_token(bench: Bench) -> None:
    agent = bench.agent("desk")
    run = bench.submit()
    bench.submit()
    first, again = bench.queue.claim(agent, "c" * 16), bench.queue.claim(agent, "c" * 16)
    assert first is not None
    assert again is not None
    assert (first.run, again.run, again.number) == (run, run, 1)
    assert first.token != again.token
    assert first.source == {"folder": "/lakes"}
    assert first.request.spec == "pipeline: predict"


def test_many_agents_at_once_claim_each_run_once(bench: Bench) -> None:
    agents = [bench.agent(f"agent{number}") for number in range(8)]
    runs = {bench.submit() for _ in range(40)}

    def work(agent: str) -> list[str]:
        found = []
        while (claimed := bench.queue.claim(agent, f"{agent} claim {len(found):04}")) is not None:
            found.append(claimed.run)
        return found

    with ThreadPoolExecutor(8) as pool:
        claimed = [run for part in pool.map(work, agents) for run in part]
    assert len(claimed) == len(runs)
    assert set(claimed) == runs


def test_the_same_key_with_the_same_request_is_the_same_run(bench: Bench) -> None:
    run = bench.submit(key="nightly")
    assert bench.submit(key="nightly") == run
    assert bench.submit(key=None) != run
    with pytest.raises(Conflict, match="'nightly' was used for another request") as caught:
        bench.submit(key="nightly", priority=1)
    assert caught.value.status == 422
    with pytest.raises(NotFound, match="no project 'seas'"):
        bench.submit("seas")


def test_a_limit_holds_when_many_agents_claim_at_once(bench: Bench) -> None:
    agents = [bench.agent(f"agent{number}") for number in range(8)]
    with bench.database.transaction() as db:
        db.execute("INSERT INTO limits (project, name, most) VALUES ('lakes', 'api', 3)")
    for _ in range(3):
        for _ in range(10):
            bench.submit(limit_key="api")
        free = {bench.submit() for _ in range(10)}
        together = Barrier(8)

        def work(agent: str, together: Barrier = together) -> list[str]:
            together.wait(60)
            claimed = [bench.queue.claim(agent, f"{agent} {bench.runs} claim {number:04}") for number in range(4)]
            return [work.run for work in claimed if work is not None]

        with ThreadPoolExecutor(8) as pool:
            claimed = [run for part in pool.map(work, agents) for run in part]
        limited = [run for run in claimed if run not in free]
        assert (len(limited), set(claimed) - set(limited)) == (3, free)
        for run in claimed:
            bench.queue.end(run, 1, DONE)


def test_twenty_at_once_with_one_key_are_one_run(bench: Bench) -> None:
    request = RunRequest(project="lakes", spec="pipeline: predict")

    def ask(number: int) -> tuple[str, bool]:
        return bench.queue.submit(request, f"r{number}", "predict", "predict", "ada", "key")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(20)))
    assert len({run for run, _ in answers}) == 1
    assert sum(new for _, new in answers) == 1


def test_lines_arrive_once_and_in_order_whatever_is_sent_again(bench: Bench) -> None:
    agent, run = bench.agent("desk"), bench.submit()
    bench.claim(agent)
    assert bench.queue.add_lines(run, 1, [line(1), line(2)]).next_line == 3
    assert bench.queue.add_lines(run, 1, [line(1), line(2), line(3)]).next_line == 4
    assert bench.queue.add_lines(run, 1, [line(5)]).next_line == 4  # a hole: 4 is asked for
    assert bench.queue.add_lines(run, 1, [line(4), line(5)]).next_line == 6
    with bench.database.reading() as db:
        rows = db.execute("SELECT id, text FROM lines ORDER BY id")
    assert [(row["id"], row["text"]) for row in rows] == [(number, f"line {number}") for number in range(1, 6)]


def test_a_newer_attempt_is_told_where_the_lines_of_an_earlier_one_end(bench: Bench) -> None:
    agent = bench.agent("desk")
    run = bench.submit(attempts=3, when_lost="again")
    for number, lines in ((1, (1, 2)), (2, (3,)), (3, ())):
        bench.claim(agent)
        assert bench.queue.beat(run, number).earlier_next is None
        for each in lines:
            bench.queue.add_lines(run, number, [line(each)])
        if number < 3:
            bench.now += 3 * bench.queue.limits.beat_s
            bench.queue.gone(agent, run, Gone(number=number, error="its supervisor ended"))
    assert [bench.queue.beat(run, 3, Beat(earlier=earlier)).earlier_next for earlier in (1, 2)] == [3, 4]


def test_what_a_given_up_attempt_says_is_refused(bench: Bench) -> None:
    agent = bench.agent("desk")
    run = bench.submit(attempts=2, when_lost="again")
    bench.claim(agent)
    assert bench.state(run) == ("claimed", "", 1)
    bench.queue.beat(run, 1)
    assert bench.state(run) == ("running", "", 1)
    bench.now += bench.queue.limits.lost_s - 1
    assert bench.queue.settle() == []
    bench.now += 2
    assert bench.queue.settle() == [run]
    assert bench.state(run) == ("queued", "", 1)
    bench.claim(agent)
    for say in (
        lambda: bench.queue.beat(run, 1),
        lambda: bench.queue.add_lines(run, 1, [line(1)]),
        lambda: bench.queue.end(run, 1, DONE),
        lambda: bench.queue.gone(agent, run, Gone(number=1, error="gone")),
    ):
        with pytest.raises(Conflict, match=f"attempt 1 of {run} was given up: attempt 2 has taken its place"):
            say()
    bench.queue.beat(run, 2)
    bench.queue.end(run, 2, DONE)
    bench.queue.end(run, 2, DONE)  # its answer was lost
    assert bench.state(run) == ("ended", "done", 2)
    with pytest.raises(Conflict, match="is ended"):
        bench.queue.end(run, 2, End(status="failed", exit_code=1))


def test_a_lost_run_is_told_unless_another_attempt_was_asked_for(bench: Bench) -> None:
    agent, run = bench.agent("desk"), bench.submit()
    bench.claim(agent)
    bench.queue.beat(run, 1)
    bench.now += bench.queue.limits.lost_s + 1
    bench.queue.settle()
    assert bench.state(run) == ("ended", "lost", 1)
    again = bench.submit(attempts=2, when_lost="again")
    for _ in range(2):
        bench.claim(agent)
        bench.queue.beat(again, bench.state(again)[2])
        bench.now += 3 * bench.queue.limits.beat_s
        bench.queue.gone(agent, again, Gone(number=bench.state(again)[2], error="its supervisor ended", exit_code=137))
    assert bench.state(again) == ("ended", "lost", 2)


def test_a_claimed_run_that_never_starts_is_queued_again_but_not_for_ever(bench: Bench) -> None:
    agent, run = bench.agent("desk"), bench.submit()
    for number in range(1, bench.queue.limits.starts + 1):
        assert bench.state(run)[0] == "queued"
        bench.claim(agent)
        assert bench.state(run)[2] == number
        bench.now += bench.queue.limits.start_s + 1
        assert bench.queue.settle() == [run]
    assert bench.state(run) == ("ended", "lost", 5)
    assert bench.queue.attempts_of(agent) == ()


def test_a_cancel_ends_a_queued_run_and_reaches_a_running_one(bench: Bench) -> None:
    agent, queued, running = bench.agent("desk"), bench.submit(), bench.submit(priority=1)
    bench.claim(agent)
    bench.queue.beat(running, 1)
    assert bench.queue.cancel(queued, "ada", "wrong area") == "ended"
    assert bench.state(queued) == ("ended", "interrupted", 0)
    assert bench.queue.cancel(running, "ada", "wrong area") == "running"
    assert bench.queue.cancel(running, "bob", "") == "running"
    assert bench.queue.beat(running, 1).cancel == "cancelled by ada: wrong area"
    assert bench.queue.add_lines(running, 1, [line(1)]).cancel == "cancelled by ada: wrong area"
    assert bench.claim(agent) is None
    bench.queue.end(running, 1, End(status="interrupted", exit_code=130))
    with pytest.raises(Conflict, match="has ended already"):
        bench.queue.cancel(running, "ada", "")
    with pytest.raises(NotFound):
        bench.queue.cancel("unknown", "ada", "")


def test_another_agent_cannot_give_up_an_attempt_nor_its_own_while_that_is_heard_of(bench: Bench) -> None:
    mine, other, run = bench.agent("mine"), bench.agent("other"), bench.submit()
    bench.claim(mine)
    with pytest.raises(NotFound, match="of this agent"):
        bench.queue.gone(other, run, Gone(number=1, error=""))
    bench.queue.beat(run, 1)
    with pytest.raises(Conflict, match="heard of a moment ago"):
        bench.queue.gone(mine, run, Gone(number=1, error=""))
    assert bench.state(run) == ("running", "", 1)
    bench.now += 3 * bench.queue.limits.beat_s
    bench.queue.gone(mine, run, Gone(number=1, error="its supervisor ended"))
    assert bench.state(run) == ("ended", "lost", 1)


def test_a_server_that_was_away_loses_no_run(bench: Bench) -> None:
    agent, run = bench.agent("desk"), bench.submit()
    bench.claim(agent)
    bench.queue.beat(run, 1)
    queue = Queue(bench.database, clock=lambda: bench.now)  # the server is started again, an hour later
    bench.now += 3600
    assert queue.settle() == []
    for _ in range(3):
        bench.now += queue.limits.lost_s / 25
        assert queue.settle() == []
    bench.now += 3600  # its database was away
    assert queue.settle() == []
    lost: list[str] = []
    for _ in range(30):
        bench.now += queue.limits.lost_s / 25
        lost += queue.settle()
    assert lost == [run]


def test_a_clock_that_is_set_loses_no_run(bench: Bench) -> None:
    agent, run = bench.agent("desk"), bench.submit()
    queue = Queue(bench.database, clock=lambda: bench.now)
    queue.settle()
    bench.claim(agent)
    for step in (7200.0, -7200.0, -7200.0, 7200.0):
        bench.now += step
        for _ in range(5):
            bench.now += 5
            assert queue.settle() == []
            queue.beat(run, 1)
    assert bench.state(run) == ("running", "", 1)


def test_lines_are_heard_as_beats_are(bench: Bench) -> None:
    agent, run = bench.agent("desk"), bench.submit()
    bench.claim(agent)
    bench.queue.beat(run, 1)
    for number in range(1, 4):
        bench.now += bench.queue.limits.lost_s - 1
        bench.queue.add_lines(run, 1, [line(number)])
        assert bench.queue.settle() == []


def test_a_claimed_run_that_is_cancelled_and_never_starts_is_not_made(bench: Bench) -> None:
    agent, run = bench.agent("desk"), bench.submit()
    bench.claim(agent)
    assert bench.queue.cancel(run, "ada", "") == "claimed"
    bench.now += bench.queue.limits.start_s + 1
    assert bench.queue.settle() == [run]
    assert bench.state(run) == ("ended", "interrupted", 1)


def test_a_claim_that_is_asked_for_again_too_late_gets_nothing(bench: Bench) -> None:
    agent, other, run = bench.agent("desk"), bench.agent("other"), bench.submit()
    assert bench.claim(agent, "a word of its own") == run
    assert bench.claim(other, "a word of its own") is None
    bench.queue.beat(run, 1)
    bench.queue.end(run, 1, DONE)
    assert bench.claim(agent, "a word of its own") is None
