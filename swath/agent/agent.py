"""The agent: claims runs whose labels it has, starts a supervisor for each, and takes up those that it finds after a restart."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from swath.agent.agent_file import REFERENCES, run_variables
from swath.agent.attempt_folder import AgentSettings, AttemptFolder, ServerAddress
from swath.agent.inquirer import Inquirer
from swath.agent.jobs import Jobs
from swath.agent.launcher import Launcher, ProcessLauncher
from swath.agent.looks import AgentLooks
from swath.crashpoint import reached
from swath.errors import Locked, StateError, UsageError
from swath.launchers.contract import JobLauncher
from swath.protocol.client import Client, ServerUnavailable, Superseded
from swath.protocol.messages import AgentRegistration, AttemptName, Claim, Gone, Registered
from swath.secret_stores.reference import SecretReference
from swath.storage import fence
from swath.storage.private_folder import make_private
from swath.version import __version__

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AgentLimits:
    """Times of an agent."""

    wait_s: float = 10.0
    """How long a claim waits at the server, and so how long an agent takes to end at most."""
    check_s: float = 1.0
    """How often it looks after its supervisors while all slots are taken."""
    most_pause_s: float = 30.0
    """The longest pause between two tries to reach the server."""
    restarts: int = 5
    """Of the supervisor of one attempt."""


class Agent:
    """An agent of one server."""

    def __init__(
        self,
        client: Client,
        name: str,
        folder: Path,
        *,
        labels: tuple[str, ...] = (),
        slots: int = 1,
        accepts: tuple[str, ...] = (),
        secrets_of_runs: Mapping[str, SecretReference] | None = None,
        launcher: Launcher | None = None,
        launchers: Mapping[str, JobLauncher] | None = None,
        say: Callable[[str], None] = lambda text: None,
        limits: AgentLimits = AgentLimits(),
    ) -> None:
        """folder: of the agent's own state. accepts: git repositories whose code it executes.
        launchers: for runs that name one; launcher: for all others.
        say: gets a line when something happens."""
        self._client = client
        self.name = name
        self._folder = folder
        self._labels = labels
        self._slots = slots
        self._references = dict(secrets_of_runs or {})
        self._settings = AgentSettings(str(folder), accepts, REFERENCES.dump_json(self._references).decode())
        self._launcher = launcher or ProcessLauncher()
        self._launchers = dict(launchers or {})
        self._say = say
        self._limits = limits
        self._session = secrets.token_hex(16)
        self._restarts: dict[str, int] = {}
        self._missing: list[AttemptName] = []
        """Attempts that the server believes this agent to have, and that are to be told as gone."""
        self._agent_id = ""
        self._jobs = Jobs(self._launchers, name, say, self._job_gone)
        self._stopped = threading.Event()

    @property
    def _attempts(self) -> Path:
        return self._folder / "attempts"

    def stop(self) -> None:
        """End the agent. Runs go on; the next agent of this folder takes them up."""
        self._stopped.set()

    def run(self) -> None:
        """Work until `stop`. Raises CredentialsError when the token is refused, Superseded when a newer process has this agent's
        name, and Locked when another process of this machine uses the folder."""
        with self._locked(), contextlib.closing(self._launcher):
            registered = self._register()
            if registered is None:
                return
            self._agent_id = registered.id
            inquirer = Inquirer(
                self._client, self._settings, lambda project: run_variables(self._references, project, os.environ)
            )
            about = (registered.id, self._session, self._stopped)
            threading.Thread(target=inquirer.run, args=about, name="inquiries", daemon=True).start()
            self._take_up(registered)
            self._start_looks(registered.id)
            claim = secrets.token_hex(16)
            pause = 1.0
            while not self._stopped.is_set():
                open_attempts = self._look_after(registered.id)
                if open_attempts >= self._slots:
                    self._stopped.wait(self._limits.check_s)
                    continue
                try:
                    work = self._client.claim(
                        registered.id,
                        Claim(session=self._session, claim=claim, wait_s=self._wait_s(open_attempts)),
                    )
                except ServerUnavailable as error:
                    log.warning("%s; again in %.0f s", error.message, pause)
                    self._stopped.wait(pause * random.uniform(0.5, 1.0))
                    pause = min(2 * pause, self._limits.most_pause_s)
                    continue
                pause = 1.0
                claim = secrets.token_hex(16)  # another word once there was an answer
                if work is None:
                    continue
                folder = AttemptFolder.create(
                    self._attempts, ServerAddress(self._client.url, registered.server), work, self._settings
                )
                reached("claimed")
                self._say(f"{work.run}: attempt {work.number} for project {work.project}")
                with contextlib.suppress(StateError):  # tried again with the next look
                    if work.request.runs_on:
                        self._jobs.look(folder)
                    else:
                        self._launcher.start(folder)

    def _start_looks(self, agent: str) -> None:
        """Look for the server beside the runs, until the agent ends."""
        looks = AgentLooks(self._client, agent, self._session, self._folder, self._settings.accepts, self._stopped)
        threading.Thread(target=looks.run, name="looks", daemon=True).start()

    def _wait_s(self, open_attempts: int) -> float:
        """How long a claim may wait: not long while something here may need looking after."""
        return 2.0 if open_attempts or self._missing else self._limits.wait_s

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        make_private(self._folder)
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Locked(
                    f"another agent uses {self._folder}", remedy="give this one another name, or end the other one"
                ) from None
            yield
        finally:
            os.close(handle)

    def _register(self) -> Registered | None:
        registration = AgentRegistration(
            name=self.name, session=self._session, labels=self._labels, slots=self._slots, version=__version__,
            accepts=self._settings.accepts, launchers=tuple(self._launchers),
        )  # fmt: skip
        pause = 1.0
        while not self._stopped.is_set():
            try:
                return self._client.register(registration)
            except ServerUnavailable as error:
                self._say(f"{error.message}; again in {pause:.0f} s")
                self._stopped.wait(pause)
                pause = min(2 * pause, self._limits.most_pause_s)
        return None

    def _take_up(self, registered: Registered) -> None:
        """Settle what was open when the agent was last there."""
        known = set()
        for folder in AttemptFolder.all(self._attempts):
            known.add(folder.path.name)
            try:
                folder.move_server(ServerAddress(self._client.url, registered.server))
            except StateError as error:
                log.warning("%s", error.message)
        for attempt in registered.attempts:
            if f"{attempt.run}.{attempt.number}" not in known:
                self._say(f"{attempt.run}: attempt {attempt.number} is not on this machine any more")
                self._missing.append(attempt)
        for name in sorted(known):
            self._say(f"{name.rpartition('.')[0]}: taken up")

    def _look_after(self, agent: str) -> int:
        """Start supervisors again that have ended before their time. Returns the number of attempts that go on."""
        going = 0
        self._missing = [
            each for each in self._missing if not self._gone(agent, each, "the agent does not have it any more")
        ]
        for folder in AttemptFolder.all(self._attempts):
            if folder.work.request.runs_on:
                going += self._jobs.look(folder)
                continue
            if self._launcher.alive(folder):
                going += 1
                continue
            if folder.ended:
                continue
            name = folder.path.name
            self._restarts[name] = self._restarts.get(name, 0) + 1
            if self._restarts[name] > self._limits.restarts:
                if self._abandon(agent, folder):
                    folder.end()
                continue
            try:
                self._launcher.start(folder)
            except StateError as error:
                log.warning("%s", error.message)
            going += 1
        return going

    def _abandon(self, agent: str, folder: AttemptFolder) -> bool:
        """Give an attempt up whose supervisor does not stay: first its run is ended, so that no two attempts go on. Returns whether
        the server knows."""
        work = folder.work
        with contextlib.suppress(OSError):
            fence.write_fence(folder.fence, 0)
        process = folder.process("run")
        if process is not None and not process.gone():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            return False  # looked at again in the next round
        text = f"its supervisor ended {self._limits.restarts} times: see {folder.path}"
        return self._gone(agent, AttemptName(run=work.run, number=work.number), text)

    def _job_gone(self, folder: AttemptFolder, text: str) -> bool:
        work = folder.work
        return self._gone(self._agent_id, AttemptName(run=work.run, number=work.number), text)

    def _gone(self, agent: str, attempt: AttemptName, text: str) -> bool:
        """Tell the server that an attempt is gone. Returns False when that has to be tried again."""
        try:
            self._client.gone(agent, attempt.run, Gone(number=attempt.number, error=text))
        except (ServerUnavailable, Superseded) as error:  # it is away, or has heard of the attempt a moment ago
            log.warning("%s", error.message)
            return "was given up" in error.message or "cannot go on" in error.message
        except UsageError:  # it knows no such attempt
            return True
        return True
