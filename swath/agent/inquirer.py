"""Answers inquiries of the server, one at a time, beside the agent's runs: each in a process of its own, with a limit."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swath.agent.attempt_folder import AgentSettings
from swath.agent.run_code import project_code
from swath.errors import SwathError
from swath.protocol import logins
from swath.protocol.client import Client, ServerUnavailable
from swath.protocol.inquiries import MAX_ANSWER, Inquiry, InquiryAnswer, InquiryClaim, SpecMistake
from swath.protocol.messages import MAX_TEXT, Work

log = logging.getLogger(__name__)
WAIT_S = 25.0
_HIDDEN = (logins.TOKEN, "SWATH_AGENT_TOKEN")


class Inquirer:
    """Answers the inquiries of one agent."""

    def __init__(self, client: Client, settings: AgentSettings, secrets: Callable[[str], Mapping[str, str]]) -> None:
        """secrets: environment variables for the specs of a project."""
        self._client = client
        self._settings = settings
        self._secrets = secrets

    def run(self, agent: str, session: str, stopped: threading.Event) -> None:
        """Answer until stopped, or until the server does not want it any more."""
        pause = 1.0
        while not stopped.is_set():
            try:
                inquiry = self._client.take_inquiry(agent, InquiryClaim(session=session, wait_s=WAIT_S))
                pause = 1.0
                if inquiry is not None:
                    self._tell(agent, inquiry, self.answer(inquiry, stopped))
            except ServerUnavailable:
                stopped.wait(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, 30.0)
            except SwathError as error:  # a server that knows no inquiries, or another agent of this name
                log.warning("inquiries are not answered any more: %s", error.message)
                return

    def _tell(self, agent: str, inquiry: Inquiry, answer: InquiryAnswer) -> None:
        """Answer one inquiry. An answer that the server does not take is no reason to answer no others."""
        try:
            self._client.answer_inquiry(agent, inquiry.id, answer)
        except ServerUnavailable:
            raise
        except (SwathError, ValueError) as error:  # ValueError: of a text that is no Unicode
            log.warning("the answer to inquiry %s was not taken: %s", inquiry.id, error)

    def answer(self, inquiry: Inquiry, stopped: threading.Event) -> InquiryAnswer:
        """The answer; an error where there is none."""
        try:
            return self._answer(inquiry, stopped)
        except SwathError as error:
            return InquiryAnswer(error=str(error)[:MAX_TEXT])
        except (OSError, ValueError, RecursionError) as error:
            return InquiryAnswer(error=f"it could not be found out: {error}"[:MAX_TEXT])

    def _answer(self, inquiry: Inquiry, stopped: threading.Event) -> InquiryAnswer:
        request = inquiry.request
        work = Work(
            run=f"inquiry-{inquiry.kind}",
            number=1,
            token="-",
            project=request.project,
            source=inquiry.source,
            request=request,
        )
        code = project_code(work, self._settings.accepts, Path(self._settings.home))
        code.check_out(code.resolve(stopped), stopped)
        env = code.environment({name: value for name, value in os.environ.items() if name not in _HIDDEN})
        if inquiry.kind == "schemas":
            return _document(_output(["schema"], "", code.root, env, inquiry.limit_s))
        env |= self._secrets(request.project)
        sets = [word for value in request.set for word in ("--set", value)]
        half = 0.45 * inquiry.limit_s
        found = _output(["plan", "-", "--json", *sets], request.spec, code.root, env, half)
        if found[0] == 0:
            return _document(found)
        checked = _output(["check", "-", "--json", "--timeout", "20s", *sets], request.spec, code.root, env, half)
        return InquiryAnswer(mistakes=_mistakes(checked[1]), error=_said(found[2]))


def _output(
    words: list[str], text: str, root: Path, env: Mapping[str, str], limit_s: float
) -> tuple[int, bytes, bytes]:
    """Exit code, output and errors of a command of `pipe` in a project. Raises SwathError when it takes too long."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "swath.cli", *words], cwd=root, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        out, errors = process.communicate(text.encode(), timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise SwathError(f"`pipe {words[0]}` did not end within {limit_s:.0f} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return process.returncode, out, errors


def _document(found: tuple[int, bytes, bytes]) -> InquiryAnswer:
    code, out, errors = found
    if code == 0 and len(out) <= 2 * MAX_ANSWER:
        document: Any = json.loads(out)
        if isinstance(document, dict):
            return InquiryAnswer(document=document)
    return InquiryAnswer(error=_said(errors) or "the answer is too large")


def _said(errors: bytes) -> str:
    return errors.decode("utf-8", "replace").strip()[-4000:]


def _mistakes(out: bytes) -> tuple[SpecMistake, ...]:
    try:
        (verdict,) = json.loads(out)
        found = [
            SpecMistake(
                file="spec" if each["file"] == "-" else str(each["file"]), line=int(each["line"]), column=int(each["column"]),
                field=str(each["field"]), message=str(each["message"])[:MAX_TEXT],
            )
            for each in verdict.get("mistakes", ())
        ]  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()
    return tuple(found[:200])
