"""The agent: claims runs whose labels it has, starts a supervisor for each, and takes up those that it finds after a restart."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from swath.agent.attempt_folder import AttemptFolder
from swath.agent.launcher import Launcher, ProcessLauncher
from swath.errors import Locked, StateError
from swath.protocol.client import Client, ServerUnavailable, Superseded
from swath.protocol.messages import AgentRegistration, Claim, Gone, Registered
from swath.storage.private_folder import make_private
from swath.version import __version__

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AgentLimits:
    """Times of an agent."""

    wait_s: float = 20.0
    """How long a claim waits at the server."""
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
        launcher: Launcher | None = None,
        say: Callable[[str], None] = lambda text: None,
        limits: AgentLimits = AgentLimits(),
    ) -> None:
        """folder: of the agent's own state. say: gets a line when something happens."""
        self._client = client
        self.name = name
        self._folder = folder
        self._labels = labels
        self._slots = slots
        self._launcher = launcher or ProcessLauncher()
        self._say = say
        self._limits = limits
        self._session = secrets.token_hex(16)
        self._restarts: dict[str, int] = {}
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
            self._take_up(registered)
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
                        Claim(
                            session=self._session, claim=claim, wait_s=self._limits.wait_s if not open_attempts else 2.0
                        ),
                    )
                except ServerUnavailable as error:
                    log.warning("%s; again in %.0f s", error.message, pause)
                    self._stopped.wait(pause * random.uniform(0.5, 1.0))
                    pause = min(2 * pause, self._limits.most_pause_s)
                    continue
                pause = 1.0
                if work is None:
                    continue
                folder = AttemptFolder.create(self._attempts, self._client.url, work)
                claim = secrets.token_hex(16)
                self._say(f"{work.run}: attempt {work.number} for project {work.project}")
                self._launcher.start(folder)

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
            name=self.name, session=self._session, labels=self._labels, slots=self._slots, version=__version__
        )
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
        known = {folder.path.name for folder in AttemptFolder.all(self._attempts)}
        for attempt in registered.attempts:
            if f"{attempt.run}.{attempt.number}" not in known:
                self._say(f"{attempt.run}: attempt {attempt.number} is not on this machine any more")
                self._gone(registered.id, attempt.run, attempt.number, "the agent does not have it any more")
        for name in sorted(known):
            self._say(f"{name.rpartition('.')[0]}: taken up")

    def _look_after(self, agent: str) -> int:
        """Start supervisors again that have ended before their time. Returns the number of attempts that go on."""
        going = 0
        for folder in AttemptFolder.all(self._attempts):
            if self._launcher.alive(folder):
                going += 1
                continue
            if folder.ended:
                continue
            name = folder.path.name
            self._restarts[name] = self._restarts.get(name, 0) + 1
            if self._restarts[name] > self._limits.restarts:
                work = folder.work
                self._gone(
                    agent, work.run, work.number, f"its supervisor ended {self._limits.restarts} times: {folder.path}"
                )
                folder.end()
                continue
            try:
                self._launcher.start(folder)
            except StateError as error:
                log.warning("%s", error.message)
            going += 1
        return going

    def _gone(self, agent: str, run: str, number: int, text: str) -> None:
        with contextlib.suppress(Superseded):  # the server knows better
            self._client.gone(agent, run, Gone(number=number, error=text))
