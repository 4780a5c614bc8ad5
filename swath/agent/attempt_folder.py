"""The folder of one attempt on the agent's machine: what was asked, which processes work on it, and whether it has ended.

It outlives agent and supervisor: whoever comes next finds in it what to go on with. Only this user can read it, as it has the token.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.engine.process import Process
from swath.errors import StateError
from swath.protocol.messages import Work
from swath.storage.private_folder import make_private


@dataclass(frozen=True)
class LineNumbers:
    """How lines of the local journal are numbered at the server: the line at `local` there is the line `server` here."""

    local: int
    """Number of lines in the journal that the server has from before this attempt."""
    server: int
    """The server's id for the line after those."""


class AttemptFolder:
    """Files of an attempt. Each is written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, parent: Path, server: str, work: Work) -> AttemptFolder:
        """A folder for a run that was claimed. The same one again when it is there."""
        make_private(parent)
        folder = cls(parent / f"{work.run}.{work.number}")
        make_private(folder.path)
        folder._write("work.json", {"server": server, "work": work.model_dump(mode="json")})
        return folder

    @classmethod
    def all(cls, parent: Path) -> list[AttemptFolder]:
        """The folders of attempts that were begun and have not ended."""
        if not parent.is_dir():
            return []
        found = [cls(path) for path in sorted(parent.iterdir()) if (path / "work.json").is_file()]
        return [folder for folder in found if not folder.ended]

    def before(self) -> AttemptFolder:
        """The folder that the attempt before this one would have here."""
        name, _, number = self.path.name.rpartition(".")
        return AttemptFolder(self.path.with_name(f"{name}.{int(number) - 1}"))

    @property
    def server(self) -> str:
        """Address of the server."""
        return str(self._read("work.json")["server"])

    @property
    def work(self) -> Work:
        """What was claimed."""
        return Work.model_validate(self._read("work.json")["work"])

    @property
    def log(self) -> Path:
        """What `pipe run` printed."""
        return self.path / "output.log"

    @property
    def fence(self) -> Path:
        """Until when the run may publish (see swath.storage.fence)."""
        return self.path / "fence.json"

    # --- processes

    def write_process(self, role: str, process: Process) -> None:
        """Write down the process of the `supervisor`, or of the `run`."""
        self._write(f"{role}.json", dataclasses.asdict(process))

    def process(self, role: str) -> Process | None:
        """A process that was written down."""
        if not (self.path / f"{role}.json").exists():
            return None
        return Process(**self._read(f"{role}.json"))

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

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, name: str, value: Any) -> None:
        temporary = self.path / f"{name}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w") as file:
                json.dump(value, file)
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
