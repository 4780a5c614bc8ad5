"""Looks of an agent: it reads the triggers of projects for the server, and looks where their sensors want a look.

What is looked at is what the project's own swath.yaml says at the commit: the server names a trigger, and tells nothing else of it.
Each sensor looks in a process of its own; what it finds goes to the server, in parts when it is much.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swath.agent.run_code import RunCode, project_code
from swath.agent.supervisor import AGENT_TOKEN
from swath.errors import SwathError, UsageError
from swath.project.project import Project
from swath.protocol import logins
from swath.protocol.client import Client, ServerUnavailable, Superseded
from swath.protocol.messages import MAX_SPEC, RunRequest, Work
from swath.protocol.triggers import (
    MAX_DEFINITION,
    MOST_FOUND_AT_ONCE,
    MOST_TRIGGERS,
    FoundThing,
    LookAnswer,
    LookClaim,
    LookWork,
    ReportedTrigger,
    TriggersRead,
)
from swath.sensors.child_look import ChildLook
from swath.spec.project_root import FILE
from swath.spec.secrets import scrub
from swath.triggers.firing_rules import SENSOR_CLASSES, fingerprint
from swath.triggers.load import ProjectTriggers, read_triggers
from swath.triggers.look import Look
from swath.triggers.trigger import SensorSettings

log = logging.getLogger(__name__)
AT_ONCE = 4
"""Looks that go on at the same time."""
WAIT_S = 10.0
PAUSE_S = 5.0
"""After an answer that did not come."""
NOT_HERE_S = 600.0
"""How long a project is left to others whose code this agent does not have."""
MOST_BYTES = 1_500_000
"""Of the triggers of one project, with their specs."""
LONGEST_TEXT = 4000
_HIDDEN = (logins.TOKEN, AGENT_TOKEN)


@dataclass
class AgentLooks:
    """The looks of one agent, in threads beside its runs."""

    client: Client
    agent: str
    """Its id."""
    session: str
    home: Path
    """The agent's folder."""
    accepts: Sequence[str] = ()
    stopped: threading.Event = field(default_factory=threading.Event)
    _not_here: dict[str, float] = field(default_factory=dict)
    _checkout: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Look until `stopped`."""
        free = threading.BoundedSemaphore(AT_ONCE)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="look") as pool:
            while not self.stopped.is_set():
                free.acquire()
                work = self._claim()
                if work is None:
                    free.release()
                    continue
                pool.submit(self._perform, work).add_done_callback(lambda done: free.release())

    def _claim(self) -> LookWork | None:
        now = time.monotonic()
        without = tuple(sorted(name for name, until in self._not_here.items() if until > now))
        try:
            return self.client.claim_look(
                self.agent, LookClaim(session=self.session, wait_s=WAIT_S, without=without[:1000])
            )
        except Superseded:  # the agent itself hears of that, too
            self.stopped.wait(PAUSE_S)
        except UsageError as error:  # an older server, which has no triggers
            log.info("no looks: %s", error.message)
            self.stopped.wait(12 * PAUSE_S)
        except SwathError as error:
            log.info("no looks: %s", error.message)
            self.stopped.wait(PAUSE_S)
        return None

    def _perform(self, work: LookWork) -> None:
        """Look, and tell what came of it. A look whose answer does not reach the server is made again."""
        try:
            with contextlib.suppress(ServerUnavailable, Superseded):
                if work.trigger:
                    self._tell_found(work)
                else:
                    self.client.triggers_read(self.agent, work.id, self._read(work))
        except Exception:
            log.exception("the look %s of %s failed", work.trigger or "at the triggers", work.project)

    # --- code

    def _code(self, work: LookWork) -> tuple[RunCode, str]:
        """The code at the commit of the trigger, or at the newest one; and that commit, of a repository. Raises SwathError."""
        code = self._code_at(work, work.commit)
        commit = work.commit or code.resolve(self.stopped)
        if commit and commit != work.commit:
            code = self._code_at(work, commit)
        with self._checkout:
            if commit and not code.ready:
                code.check_out(commit, self.stopped)
        if not code.root.is_dir():
            raise UsageError(f"{code.root} is not there on this machine")
        return code, commit

    def _code_at(self, work: LookWork, commit: str) -> RunCode:
        run = Work(
            run=f"looks-{commit[:12] or 'newest'}", number=1, token="", project=work.project, source=work.source,
            request=RunRequest(project=work.project, spec="-"), commit=commit,
        )  # fmt: skip
        return project_code(run, self.accepts, self.home)

    # --- triggers of a project

    def _read(self, work: LookWork) -> TriggersRead:
        commit, digest, told, error = "", "", None, ""
        try:
            code, commit = self._code(work)
            told = reported(read_project(code), code.root)
            text = json.dumps([commit, [each.model_dump() for each in told]], sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()
            if len(text) > MOST_BYTES:
                raise UsageError(f"its triggers and their specs have more than {MOST_BYTES:,} bytes")
            if digest == work.digest:
                told = None
        except SwathError as failed:
            told, error = None, str(failed)[:LONGEST_TEXT]
            self._leave_to_others(work)
        return TriggersRead(
            session=self.session, fence=work.fence, commit=commit, digest=digest, error=error,
            triggers=None if told is None else tuple(told),
        )  # fmt: skip

    def _leave_to_others(self, work: LookWork) -> None:
        if "folder" in work.source and not Path(str(work.source["folder"])).is_dir():
            self._not_here[work.project] = time.monotonic() + NOT_HERE_S

    # --- a sensor

    def _tell_found(self, work: LookWork) -> None:
        try:
            look = self._look(work)
        except SwathError as error:
            self._leave_to_others(work)
            self._answer(work, error=str(error)[:LONGEST_TEXT] or "the look failed")
            return
        found = [FoundThing(key=each.key, values=dict(each.values)) for each in look.found]
        while len(found) > MOST_FOUND_AT_ONCE:
            self._answer(work, found=tuple(found[:MOST_FOUND_AT_ONCE]), more=True)
            found = found[MOST_FOUND_AT_ONCE:]
        self._answer(work, found=tuple(found), cursor=look.cursor, text=look.text)

    def _look(self, work: LookWork) -> Look:
        code, _ = self._code(work)
        project = read_project(code)
        trigger = project.triggers.get(work.trigger)
        if not isinstance(trigger, SENSOR_CLASSES):
            raise UsageError(f"{work.trigger} is no sensor of this project's swath.yaml any more")
        child = ChildLook(trigger, work.cursor, time.time(), code.root, _environment(code))
        try:
            while not child.done():
                if self.stopped.wait(0.1):
                    child.close()
                    raise ServerUnavailable("the agent ends")  # nothing is told: another one looks
            found = child.look()
        except SwathError as error:
            error.message = scrub(error.message, project.secrets)
            raise
        told = (
            json.dumps([[each.key, dict(each.values)] for each in found.found]) + json.dumps(found.cursor) + found.text
        )
        if scrub(told, project.secrets) != told:
            raise UsageError("what it found has a value of the environment in it, which may not leave this machine")
        return found

    def _answer(self, work: LookWork, **told: Any) -> None:
        self.client.found(self.agent, work.id, LookAnswer(session=self.session, fence=work.fence, **told))


def read_project(code: RunCode) -> ProjectTriggers:
    """The triggers of a project's swath.yaml, with the environment that this project may read. Raises SpecError."""
    if not (code.root / FILE).is_file():
        return ProjectTriggers(code.root)
    env = _environment(code)
    project = Project.find(code.root, env)
    return read_triggers(code.root, project.environment(env))


def _environment(code: RunCode) -> dict[str, str]:
    """The environment of a project's looks: without the agent's own tokens, which no swath.yaml may send anywhere."""
    return code.environment({name: value for name, value in os.environ.items() if name not in _HIDDEN})


def reported(project: ProjectTriggers, root: Path) -> list[ReportedTrigger]:
    """Triggers as the server gets them: without values of the environment, and with the text of their specs. Raises UsageError."""
    if len(project.triggers) > MOST_TRIGGERS:
        raise UsageError(f"a project has {MOST_TRIGGERS} triggers at most")
    return [_reported(name, trigger, root, project.secrets) for name, trigger in project.triggers.items()]


def _reported(name: str, trigger: Any, root: Path, secrets: Mapping[str, str]) -> ReportedTrigger:
    path = Path(str(trigger.spec))
    real, inside = path.resolve(), root.resolve()
    if not real.is_relative_to(inside):
        raise UsageError(f"trigger {name}: {trigger.spec} is not in the project's folder")
    try:
        text = real.read_text("utf-8") if real.stat().st_size <= MAX_SPEC else ""
    except (OSError, ValueError) as error:
        raise UsageError(f"trigger {name}: {trigger.spec} cannot be read: {error}") from None
    if not text:
        raise UsageError(f"trigger {name}: {trigger.spec} is empty, or longer than {MAX_SPEC:,} bytes")
    definition = trigger.model_dump(mode="json")
    if isinstance(trigger, SENSOR_CLASSES):  # what it looks at is the agents' matter
        common = {key: value for key, value in definition.items() if key in SensorSettings.model_fields}
        definition = {**common, "kind": "sensor", "sensor": trigger.kind}
    written = scrub(json.dumps({**definition, "spec": str(real.relative_to(inside))}), secrets)
    if len(written) > MAX_DEFINITION:
        raise UsageError(f"trigger {name} has more than {MAX_DEFINITION:,} characters")
    return ReportedTrigger(
        name=name, fingerprint=fingerprint(trigger, str(root)), definition=json.loads(written), spec=text
    )
