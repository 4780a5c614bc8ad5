"""What a launcher is: it gives a whole run a container or a machine of its own, and knows what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

LABEL_JOB, LABEL_AGENT = "swath-job", "swath-agent"
"""Labels of every job: its name, and the agent that started it."""


@dataclass(frozen=True)
class JobRequest:
    """A job that is to be started. It holds no secret: whoever may list jobs can read it."""

    name: str
    """Of one attempt; the same name is the same job. Small letters, digits and `-`, at most 63."""
    agent: str
    """Name of the agent, in the same letters."""
    command: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True)
class JobState:
    """What a platform says of a job."""

    phase: Literal["starting", "running", "gone"]
    exit_code: int | None = None
    """Of its command, once it is gone and as far as the platform knows."""
    reason: str = ""
    """The platform's words, where something is not as it should be."""


class JobLauncher(Protocol):
    """One entry of `launchers` in the agent's file. Safe for one thread.

    All methods raise CredentialsError where the platform does not allow it, UsageError for what another try cannot mend, and
    InfrastructureError for what it can.
    """

    @property
    def boot_s(self) -> float:
        """How long a job may take until its run is heard of."""
        ...

    @property
    def poll_s(self) -> float:
        """How often its state is asked for."""
        ...

    def check(self) -> str:
        """See whether the platform answers and allows what is needed. Returns a line about it."""
        ...

    def start(self, request: JobRequest, place: int) -> str | None:
        """Start a job at one of the launcher's places (such as a region and a machine type), in their order from 0: what `state` and
        others take. The same one when a job of that name is there already. None when there is no such place any more."""
        ...

    def find(self, name: str) -> str | None:
        """The job that was started under a name, also one that has ended; None when there is none."""
        ...

    def state(self, job: str) -> JobState:
        """The state of a job; gone for one that is not there."""
        ...

    def stop(self, job: str) -> None:
        """Stop a job; `state` says when it has ended. No error for one that has ended."""
        ...

    def remove(self, job: str) -> None:
        """Remove what is left of a job that has ended. No error where nothing is left."""
        ...

    def jobs_of(self, agent: str) -> tuple[str, ...]:
        """Jobs of an agent that have not ended."""
        ...

    def tail(self, job: str) -> str:
        """The last lines that the platform has of a job; empty where it has none."""
        ...


class NoRoom(Exception):
    """A place has no machine now; the message is the platform's. The next place may have one."""
