"""What an agent answers to inquiries: real commands in a project, with limits, and nothing that ends the agent."""

from __future__ import annotations

import contextlib
import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from swath.agent.agent import Agent
from swath.agent.agent_file import AgentFile
from swath.agent.attempt_folder import AgentSettings
from swath.agent.inquirer import Inquirer
from swath.errors import InfrastructureError, SwathError, UsageError
from swath.protocol.client import ServerUnavailable
from swath.protocol.inquiries import Inquiry, InquiryAnswer, InquiryKind
from swath.protocol.messages import Registered, RunRequest
from swath.secret_stores.reference import FileSecret
from tests.agent.conftest import PIPELINE


class FakeClient:
    """A server that gives what it has, one after the other."""

    def __init__(self, *given: Any) -> None:
        self.given = list(given)
        self.answers: list[InquiryAnswer] = []
        self.refuses: list[Exception] = []

    def take_inquiry(self, agent: str, claim: Any) -> Inquiry | None:
        found = self.given.pop(0)
        if isinstance(found, SwathError):
            raise found
        assert found is None or isinstance(found, Inquiry)
        return found

    def answer_inquiry(self, agent: str, inquiry: str, answer: InquiryAnswer) -> None:
        self.answers.append(answer)
        if self.refuses:
            raise self.refuses.pop()


def asked(kind: InquiryKind, source: dict[str, Any], spec: str = "-", limit_s: float = 300) -> Inquiry:
    return Inquiry(id="0" * 24, kind=kind, source=source, request=RunRequest(project="p", spec=spec), limit_s=limit_s)


def inquirer(client: Any = None) -> Inquirer:
    return Inquirer(client, AgentSettings(), lambda project: {"SECRET": "kept-here"})


@pytest.mark.slow
def test_schemas_mistakes_and_plans_come_from_the_projects_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "swath.yaml").write_text("")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "jobs.py").write_text(PIPELINE)
    monkeypatch.setenv("SWATH_TRUST", "1")
    monkeypatch.setenv("SWATH_AGENT_TOKEN", "not for projects")
    answer = inquirer()
    stopped, source = threading.Event(), {"folder": str(tmp_path)}
    schemas = answer.answer(asked("schemas", source), stopped).document
    assert schemas is not None
    names = [each["if"]["properties"]["pipeline"]["const"] for each in schemas["allOf"]]
    assert {"job", "predict"} <= set(names)
    wrong = answer.answer(asked("plan", source, "pipeline: job\nnn: 4\n"), stopped)
    assert wrong.document is None
    assert [(each.line, each.field) for each in wrong.mistakes] == [(2, "nn")]
    plan = answer.answer(asked("plan", source, "pipeline: job\nname: ${env:SECRET}\n"), stopped).document
    assert plan is not None
    assert (plan["pipeline"], plan["name"]) == ("job", "${env:SECRET}")
    assert "kept-here" not in str(plan)


def test_what_cannot_be_found_out_is_said(tmp_path: Path) -> None:
    answer, stopped = inquirer(), threading.Event()
    gone = answer.answer(asked("schemas", {"folder": str(tmp_path / "gone")}), stopped)
    assert (gone.document, "could not be found out" in gone.error) == (None, True)
    refused = answer.answer(asked("plan", {"git": "https://example.org/a/b"}), stopped)
    assert "does not execute code of https://example.org/a/b" in refused.error
    late = answer.answer(asked("schemas", {"folder": str(tmp_path)}, limit_s=0.01), stopped)
    assert "did not end within" in late.error


def test_answers_go_on_while_the_server_is_away_and_end_when_it_knows_none(tmp_path: Path) -> None:
    stopped = threading.Event()
    inquiry = asked("schemas", {"folder": str(tmp_path / "gone")})
    client = FakeClient(ServerUnavailable("away"), None, inquiry, UsageError("no such page"))
    inquirer(client).run("desk", "session 1", stopped)
    assert [bool(each.error) for each in client.answers] == [True]
    assert client.given == []


def test_an_answer_that_the_server_does_not_take_is_not_the_last_one(tmp_path: Path) -> None:
    inquiry = asked("schemas", {"folder": str(tmp_path / "gone")})
    client = FakeClient(inquiry, inquiry, inquiry, UsageError("no such page"))
    client.refuses = [UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no text"), InfrastructureError("Too large")]
    inquirer(client).run("desk", "session 1", threading.Event())
    assert len(client.answers) == 3


def test_commands_get_the_secrets_of_runs_and_never_the_key_of_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the agent gives its inquirer, for the code and the specs of a project."""

    class Ended(SwathError):
        pass

    class Server:
        url = "http://localhost"

        def register(self, about: Any) -> Registered:
            return Registered(id="a1", beat_s=1, wait_s=1, server="s1", attempts=())

        def __getattr__(self, name: str) -> Any:
            raise Ended("the test ends")

    given: queue.Queue[dict[str, str]] = queue.Queue()

    class Watched(Inquirer):
        def run(self, agent: str, session: str, stopped: threading.Event) -> None:
            given.put(dict(self._secrets("p")))

    monkeypatch.setattr("swath.agent.agent.Inquirer", Watched)
    monkeypatch.setattr(Agent, "_start_looks", lambda self, agent: None)
    (tmp_path / "key").write_text("k" * 40)
    (tmp_path / "word").write_text("kept-here")
    file = AgentFile(
        secrets={"WORD": FileSecret(file=str(tmp_path / "word"))}, results_key=FileSecret(file=str(tmp_path / "key"))
    )
    agent = Agent(Server(), "desk", tmp_path / "agent", secrets_of_runs=file.references())  # type: ignore[arg-type]
    with contextlib.suppress(Ended):
        agent.run()
    assert given.get(timeout=60) == {"WORD": "kept-here", "SWATH_SECRETS": "WORD"}
