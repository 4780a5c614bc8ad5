"""Inquiries: who gets them, what an answer is kept for, and when one is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from swath.protocol.inquiries import InquiryAnswer
from swath.protocol.messages import AgentRegistration, RunRequest
from swath.server.database.database import Database
from swath.server.inquiries import KEEP_S, LIMIT_S, MOST_OPEN
from swath.server.refusals import NotFound, TooMany
from swath.server.services import Services

SCHEMAS = InquiryAnswer(document={"allOf": []})


class Desk:
    def __init__(self, database: Database) -> None:
        self.now = 1000.0
        self.services = Services.of(database, clock=lambda: self.now)
        self.inquiries = self.services.inquiries
        self.services.projects.put("lakes", {"folder": "/lakes"}, who="test")
        self.services.projects.put("code", {"git": "https://example.org/a/b"}, who="test")

    def agent(self, name: str, *labels: str, project: str | None = None, accepts: tuple[str, ...] = ()) -> str:
        token = self.services.accounts.create("agent", name, "runner", project=project, who="test")
        about = AgentRegistration(
            name=name, session="session 1", labels=labels, slots=1, version="0.2.0", accepts=accepts
        )
        return self.services.agents.register(about, self.services.accounts.identify(token))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def asked(project: str = "lakes", spec: str = "pipeline: a", **other: Any) -> RunRequest:
    return RunRequest(project=project, spec=spec, **other)


def test_an_inquiry_goes_to_one_agent_that_may_have_it(desk: Desk) -> None:
    bare, big, git = (
        desk.agent("bare"),
        desk.agent("big", "gpu"),
        desk.agent("git", accepts=("https://example.org/a/",)),
    )
    seas = desk.agent("seas", "gpu", project="code")
    plan = desk.inquiries.ask("plan", asked(labels=("gpu",)), "ada")
    code = desk.inquiries.ask("schemas", asked("code"), "ada")
    assert desk.inquiries.take(bare) is None
    assert desk.inquiries.take(seas) is None  # its token is of that project, and it does not accept the code
    taken = desk.inquiries.take(big)
    assert taken is not None
    assert (taken.id, taken.kind, taken.request.labels) == (plan, "plan", ("gpu",))
    assert desk.inquiries.take(big) is None
    other = desk.inquiries.take(git)
    assert other is not None
    assert other.id == code
    with pytest.raises(NotFound):
        desk.inquiries.answer(bare, plan, SCHEMAS)


def test_the_same_question_is_asked_once_while_its_answer_is_new(desk: Desk) -> None:
    agent = desk.agent("desk")
    first = desk.inquiries.ask("schemas", asked(), "ada")
    assert desk.inquiries.ask("schemas", asked(), "bob") == first
    assert desk.inquiries.ask("plan", asked(), "ada") != desk.inquiries.ask("plan", asked(), "bob")
    assert desk.inquiries.schemas("lakes") is None
    for _ in range(3):  # the plans come first
        desk.inquiries.take(agent)
    desk.inquiries.answer(agent, first, SCHEMAS)
    desk.inquiries.answer(agent, first, InquiryAnswer(error="too late"))
    assert desk.inquiries.schemas("lakes") == (first, {"allOf": []})
    desk.now += 61
    second = desk.inquiries.ask("schemas", asked(), "ada")
    assert second != first
    desk.inquiries.take(agent)  # the plans come first
    desk.inquiries.take(agent)
    desk.inquiries.take(agent)
    desk.inquiries.answer(agent, second, InquiryAnswer(error="no such folder"))
    assert desk.inquiries.schemas("lakes") == (first, {"allOf": []})  # the last that could be read
    assert desk.inquiries.ask("schemas", asked(), "ada") not in (first, second)


def test_what_nobody_answers_is_given_up_and_forgotten(desk: Desk) -> None:
    plan = desk.inquiries.ask("plan", asked(), "ada")
    assert desk.inquiries.state(plan).open
    with pytest.raises(NotFound):
        desk.inquiries.state(plan, ("code",))
    desk.now += LIMIT_S + 1
    assert not desk.inquiries.state(plan).open
    assert desk.inquiries.take(desk.agent("desk")) is None
    desk.now += KEEP_S
    desk.inquiries.ask("plan", asked(spec="pipeline: b"), "ada")
    with pytest.raises(NotFound):
        desk.inquiries.state(plan)


def test_questions_that_wait_are_bounded(desk: Desk) -> None:
    for number in range(MOST_OPEN):
        desk.inquiries.ask("plan", asked(spec=f"pipeline: a{number}"), "ada")
    with pytest.raises(TooMany):
        desk.inquiries.ask("plan", asked(), "ada")
    with pytest.raises(NotFound):
        desk.inquiries.ask("plan", asked("nothing"), "ada")
