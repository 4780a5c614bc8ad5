"""Triggers of a server with a clock that tests set, on both databases; agents are played by the tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from swath.protocol.messages import AgentRegistration, End
from swath.protocol.triggers import FoundThing, LookAnswer, LookWork, ReportedTrigger, TriggerInfo, TriggersRead
from swath.server.database.database import Database
from swath.server.queue import QueueLimits
from swath.server.services import Services

SPEC = "pipeline: predict\nname: lake\n"


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Bench:
    """A server's parts, an agent, and projects."""

    def __init__(self, database: Database, start: str = "2026-03-01T00:00:00+00:00") -> None:
        self.now = at(start)
        self.services = self.new_server(database)
        self.database = database
        for name in ("lakes", "seas"):
            self.services.projects.put(name, {"folder": f"/{name}"}, who="test")
        self.agents: dict[str, str] = {}
        self.agent("desk")

    def new_server(self, database: Database) -> Services:
        """The parts of another server process on the same database."""
        return Services.of(database, clock=lambda: self.now, queue=QueueLimits(gap_s=1e12))

    def agent(self, name: str, *labels: str, session: str = "") -> str:
        token = self.services.accounts.create("agent", f"{name} {len(self.agents)} {session}", "runner", who="test")
        who = self.services.accounts.identify(token)
        about = AgentRegistration(
            name=name, session=session or f"session of {name}", slots=99, version="0.2.0", labels=labels
        )
        if name in self.agents:  # its process is new, its token the same
            with self.database.transaction() as db:
                db.execute("UPDATE agents SET session = ?, seen = ? WHERE name = ?", (about.session, self.now, name))
        else:
            self.agents[name] = self.services.agents.register(about, who)
        return self.agents[name]

    # --- triggers

    def report(self, project: str = "lakes", commit: str = "", **triggers: dict[str, Any]) -> str:
        """An agent has read these triggers. Returns what is wrong with them."""
        self.now += 61
        work = self.claim()
        while work is not None and (work.trigger or work.project != project):
            work = self.claim()
        assert work is not None, "the project is to be read"
        told = tuple(
            ReportedTrigger(
                name=name,
                fingerprint=str(hash(str(fields))),
                definition={"spec": "specs/lake.yaml", **fields},
                spec=SPEC,
            )
            for name, fields in triggers.items()
        )
        read = TriggersRead(session="session of desk", fence=work.fence, commit=commit, triggers=told, digest="d")
        self.services.triggers.looks.read(work.id, self.agents["desk"], read)
        return self.services.triggers.lists.all(project).problem

    def put(self, name: str, project: str = "lakes", spec: str = SPEC, **definition: Any) -> None:
        self.services.triggers.definitions.put(project, name, definition, spec, who="ada")

    def info(self, name: str, project: str = "lakes") -> TriggerInfo:
        return self.services.triggers.lists.one(project, name).trigger

    def last(self, name: str) -> str:
        """What came of it last."""
        found = self.info(name).last
        return f"{found.outcome}: {found.text}" if found else ""

    def firings(self, name: str) -> dict[str, str]:
        """Keys and what became of them, oldest first."""
        found = self.services.triggers.lists.one("lakes", name).firings
        return {each.key: each.status or each.state for each in reversed(found)}

    def turn(self, when: str = "") -> int:
        if when:
            self.now = at(when)
        return self.services.triggers.scheduler.turn()

    # --- runs

    def runs(self) -> list[dict[str, Any]]:
        with self.database.reading() as db:
            return [dict(row) for row in db.execute("SELECT * FROM runs ORDER BY queued, id")]

    def open_runs(self) -> list[str]:
        return [run["id"] for run in self.runs() if run["state"] != "ended"]

    def end(self, status: str = "done", outputs: tuple[str, ...] = ()) -> str:
        """The next run is claimed and ends. Returns its id."""
        self.now += 1
        work = self.services.queue.claim(self.agents["desk"], f"claim at {self.now}")
        assert work is not None
        self.services.queue.beat(work.run, work.number)
        code = 0 if status == "done" else 1
        self.services.queue.end(work.run, work.number, End(status=status, exit_code=code, outputs=outputs))
        return work.run

    # --- looks

    def claim(self, agent: str = "desk") -> LookWork | None:
        self.seen(agent)
        return self.services.triggers.looks.claim(self.agents[agent], f"session of {agent}")

    def seen(self, agent: str) -> None:
        with self.database.transaction() as db:
            db.execute("UPDATE agents SET seen = ? WHERE id = ?", (self.now, self.agents[agent]))

    def look(self, trigger: str, agent: str = "desk") -> LookWork | None:
        """The look of a sensor, when it is due; reads of projects are answered with nothing new."""
        while (work := self.claim(agent)) is not None:
            if work.trigger == trigger:
                return work
            assert not work.trigger
            told = TriggersRead(session=f"session of {agent}", fence=work.fence)
            self.services.triggers.looks.read(work.id, self.agents[agent], told)
        return None

    def answer(self, work: LookWork, *keys: str, agent: str = "desk", cursor: Any = None, **told: Any) -> int:
        found = tuple(FoundThing(key=key, values={"key": key}) for key in keys)
        answer = LookAnswer(session=f"session of {agent}", fence=work.fence, found=found, cursor=cursor, **told)
        return self.services.triggers.looks.answer(work.id, self.agents[agent], answer)


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)
