"""What an agent answers to inquiries: real commands in a project, with limits, and nothing that ends the agent."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from swath.agent.attempt_folder import AgentSettings
from swath.agent.inquirer import Inquirer
from swath.errors import SwathError, UsageError
from swath.protocol.client import ServerUnavailable
from swath.protocol.inquiries import Inquiry, InquiryAnswer, InquiryKind
from swath.protocol.messages import RunRequest
from tests.agent.conftest import PIPELINE


class FakeClient:
    """A server that gives what it has, one after the other."""

    def __init__(self, *given: Any) -> None:
        self.given = list(given)
        self.answers: list[InquiryAnswer] = []

    def take_inquiry(self, agent: str, claim: Any) -> Inquiry | None:
        found = self.given.pop(0)
        if isinstance(found, SwathError):
            raise found
        assert found is None or isinstance(found, Inquiry)
        return found

    def answer_inquiry(self, agent: str, inquiry: str, answer: InquiryAnswer) -> None:
        self.answers.append(answer)


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
