"""The folder of one attempt on the agent's machine: what was asked, which processes work on it, and whether it has ended.

It outlives agent and supervisor: whoever comes next finds in it what to go on with. Only this user can read it, as it has the token.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.engine.process import Process
from swath.errors import StateError
from swath.protocol.live import Live
from swath.protocol.messages import Work
from swath.storage.private_folder import make_private

SUPERVISOR_LOCK = "supervisor.lock"
"""Held by the supervisor of an attempt."""
RUN_LOCK = "run.lock"
"""Held by the run of an attempt."""
MOST_LIVE = 256 * 1024
"""Bytes of a live document."""


@dataclass(frozen=True)
class LineNumbers:
    """How lines of the local journal are numbered at the server: the line at `local` there is the line `server` here."""

    local: int
    """Number of lines in the journal that the server has from before this attempt."""
    server: int
    """The server's id for the line after those."""


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is, and which one it is."""

    url: str
    id: str


@dataclass(frozen=True)
class AgentSettings:
    """What the agent that claimed an attempt was started with."""

    home: str = ""
    """Its folder."""
    accepts: tuple[str, ...] = ()
    """Addresses of git repositories whose code it executes."""
    secrets: str = "{}"
    """References of the runs' secrets, as JSON: see swath.agent.agent_file."""


@dataclass(frozen=True)
class JobRecord:
    """The job of an attempt whose run has a container or a machine of its own."""

    began: float
    """When the agent first tried to start it."""
    job: str = ""
    """The launcher's name for it; empty while there is none."""
    place: int = 0
    """The place of the launcher that is tried."""
    heard: bool = False
    """Whether its supervisor has taken over."""
    stopping: str = ""
    """Why it is stopped; empty if it is not."""
    said: str = ""
    """What the platform said last of why it has no room."""

    def to(self, **changes: Any) -> JobRecord:
        """This record with changes."""
        return dataclasses.replace(self, **changes)


class AttemptFolder:
    """Files of an attempt. Each is written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls, parent: Path, server: ServerAddress, work: Work, settings: AgentSettings = AgentSettings()
    ) -> AttemptFolder:
        """A folder for a run that was claimed. The same one again when it is there."""
        make_private(parent)
        folder = cls(parent / f"{work.run}.{work.number}")
        make_private(folder.path)
        folder._write("server.json", dataclasses.asdict(server))
        folder._write("agent.json", dataclasses.asdict(settings))
        folder._write_text("spec.yaml", work.request.spec)
        folder._write("work.json", {"work": work.model_dump(mode="json")})
        return folder

    @classmethod
    def all(cls, parent: Path) -> list[AttemptFolder]:
        """The folders of attempts that were begun and have not ended."""
        if not parent.is_dir():
            return []
        found = [cls(path) for path in sorted(parent.iterdir()) if (path / "work.json").is_file()]
        return [folder for folder in found if not folder.ended]

    @property
    def number(self) -> int:
        """Of the attempt."""
        return int(self.path.name.rpartition(".")[2])

    def earlier(self) -> AttemptFolder | None:
        """The folder of the newest attempt before this one that had log lines on this machine."""
        name = self.path.name.rpartition(".")[0]
        before = (AttemptFolder(self.path.with_name(f"{name}.{number}")) for number in range(self.number - 1, 0, -1))
        return next((folder for folder in before if folder.numbers() is not None), None)

    @property
    def server(self) -> ServerAddress:
        """The server that it was claimed from, at its newest address."""
        return ServerAddress(**self._read("server.json"))

    def move_server(self, server: ServerAddress) -> None:
        """The server is at another address now. A folder of another server stays as it is."""
        if self.server.id == server.id and self.server != server:
            self._write("server.json", dataclasses.asdict(server))

    @property
    def spec(self) -> Path:
        """The text of the spec."""
        return self.path / "spec.yaml"

    @property
    def work(self) -> Work:
        """What was claimed."""
        return Work.model_validate(self._read("work.json")["work"])

    def settings(self) -> AgentSettings:
        """What the agent was started with."""
        found = self._read("agent.json")
        return AgentSettings(found["home"], tuple(found["accepts"]), found["secrets"])

    @property
    def log(self) -> Path:
        """What `pipe run` printed."""
        return self.path / "output.log"

    @property
    def live(self) -> Path:
        """How the run stands, as it writes it itself (see swath.reporting.live_file)."""
        return self.path / "live.json"

    def read_live(self) -> Live | None:
        """How the run stands; None before it has said so, and for what is no such document."""
        try:
            with self.live.open("rb") as file:
                return Live.model_validate_json(file.read(MOST_LIVE))
        except (OSError, ValueError):
            return None

    @property
    def fence(self) -> Path:
        """Until when the run may publish (see swath.storage.fence)."""
        return self.path / "fence.json"

    # --- processes

    @contextlib.contextmanager
    def locked(self, name: str, wait_s: float = 0.0) -> Iterator[int | None]:
        """Hold one of the attempt's locks: SUPERVISOR_LOCK or RUN_LOCK. Gives its file descriptor, or None when another process
        holds the lock for longer than wait_s. A process that inherits the descriptor holds the lock for as long as it lives."""
        handle = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + wait_s
            while not _lock(handle, fcntl.LOCK_EX):
                if time.monotonic() >= deadline:
                    yield None
                    return
                time.sleep(0.05)
            yield handle
        finally:
            os.close(handle)

    def is_locked(self, name: str) -> bool:
        """Whether a process holds a lock of the attempt."""
        try:
            handle = os.open(self.path / name, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not _lock(handle, fcntl.LOCK_SH)
        finally:
            os.close(handle)

    def write_process(self, role: str, process: Process) -> None:
        """Write down the process of the `supervisor`, or of the `run`."""
        self._write(f"{role}.json", dataclasses.asdict(process))

    def process(self, role: str) -> Process | None:
        """A process that was written down."""
        if not (self.path / f"{role}.json").exists():
            return None
        return Process(**self._read(f"{role}.json"))

    def write_job(self, record: JobRecord) -> JobRecord:
        """Write down what is known of the attempt's job."""
        self._write("job.json", dataclasses.asdict(record))
        return record

    def job(self) -> JobRecord | None:
        """The attempt's job; None before the first try to start it."""
        if not (self.path / "job.json").exists():
            return None
        return JobRecord(**self._read("job.json"))

    # --- lines

    def write_numbers(self, numbers: LineNumbers) -> None:
        self._write("lines.json", dataclasses.asdict(numbers))

    def numbers(self) -> LineNumbers | None:
        """How lines are numbered, once that is settled."""
        if not (self.path / "lines.json").exists():
            return None
        return LineNumbers(**self._read("lines.json"))

    # --- the end

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be done for this attempt."""
        return (self.path / "ended").exists()

    def end(self) -> None:
        """Nothing more is to be done. The token is forgotten; numbers of lines and the log stay."""
        (self.path / "ended").touch()
        (self.path / "work.json").unlink(missing_ok=True)
        self.spec.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, name: str, value: Any) -> None:
        self._write_text(name, json.dumps(value))

    def _write_text(self, name: str, text: str) -> None:
        temporary = self.path / f"{name}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / name)
        except OSError as error:
            raise StateError(f"{self.path / name} cannot be written: {error}") from error

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text())
        except (OSError, ValueError) as error:
            raise StateError(f"{self.path / name} cannot be read: {error}", remedy="remove the folder") from error


def _lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
