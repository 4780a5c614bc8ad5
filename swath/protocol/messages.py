"""Messages between people, server, agents and supervisors, as they are in JSON. All of them refuse unknown fields.

Durations are in seconds and relative, so that the clocks of two hosts need not agree; times are seconds since the epoch, by the
server's clock, for display only.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
COMMIT = r"^[0-9a-f]{40}([0-9a-f]{24})?$"
"""The whole hash of a commit."""
GitRef = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/+-]{0,198}[A-Za-z0-9_+-])?$")]
"""Branch, tag or whole hash of a commit."""
RunState = Literal["queued", "claimed", "running", "ended"]
Role = Literal["viewer", "runner", "keeper", "admin"]
"""What somebody may do in a project: see; start runs and stop their own; stop all and change the project; everything."""
MemberRole = Literal["viewer", "runner", "keeper"]
"""In one project."""

MAX_SPEC = 256 * 1024
MAX_LINES = 1000
MAX_TEXT = 64 * 1024
MAX_SUMMARY = 16 * 1024


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- runs


class RunRequest(Message):
    """A run that somebody asks for."""

    project: Name
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,80}$")] = ""
    """Of the run, where the spec has none: such as the name of its file."""
    spec: str = Field(min_length=1, max_length=MAX_SPEC)
    """Text of the spec, with `${env:NAME}` as it is written: the values stay where the run is executed."""
    set: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(default=(), max_length=100)
    """Fields to set, as `--set` of `pipe run`."""
    labels: tuple[Label, ...] = Field(default=(), max_length=20)
    """An agent must have all of them."""
    priority: int = Field(default=0, ge=-100, le=100)
    """Higher ones are claimed first."""
    limit_key: Name | None = None
    """Runs of one key share the limit that the project sets for it."""
    timeout_s: float | None = Field(default=None, gt=0)
    """As `--timeout` of `pipe run`."""
    attempts: int = Field(default=1, ge=1, le=10)
    """How often it is started when agents are lost."""
    when_lost: Literal["tell", "again"] = "tell"
    """What happens when nothing is heard of it for long: its end is written as `lost`, or another attempt is made."""
    fresh: bool = False
    """As `--fresh` of `pipe run`."""
    ref: GitRef | None = None
    """Branch, tag or whole hash of a commit, where the project's code is in git; the project's own when not given."""
    runs_on: Name | None = None
    """A launcher in the file of an agent: the run gets a container or a machine of its own. On the agent's machine when not given."""


class Cancellation(Message):
    """Why a run is to stop."""

    reason: str = Field(default="", max_length=1000)


class RunFile(Message):
    """One published file or folder of a run."""

    place: str = Field(max_length=4096)
    """Path on the agent's machine, or address."""
    media: str = Field(default="", max_length=200)
    """Media type; empty where it is not known."""
    bytes: int | None = Field(default=None, ge=0)
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """In hex; empty where it is not known."""


class RunInfo(Message):
    """One run, as it is now."""

    id: str
    project: str
    name: str
    pipeline: str
    state: RunState
    status: str
    """Once it has ended: as in `pipe runs`, or `lost`."""
    exit_code: int | None
    error: str
    labels: tuple[str, ...]
    priority: int
    limit_key: str | None
    attempt: int
    """Number of the newest attempt; 0 before the first."""
    attempts: int
    requested_by: str
    cancel: str
    """Who asked it to stop, and why; empty if nobody did."""
    queued: float
    started: float | None
    ended: float | None
    agent: str
    """Name of the agent of the newest attempt; empty before the first."""
    runs_on: str = ""
    """The launcher that was asked for; empty for the agent's own machine."""
    repository: str = ""
    """Address of the git repository with the project's code; empty for a folder."""
    commit: str = ""
    """The commit of that repository that all attempts execute; empty before it is known, and for a folder."""
    silent_s: float
    """Seconds since its supervisor was last heard of, while it runs and they are more than expected; else 0."""
    outputs: tuple[str, ...]
    files: tuple[RunFile, ...] = ()
    """What is known of the outputs, in their order."""
    summary: dict[str, Any]
    waits_for: str = ""
    """Why a queued run is not claimed: such as labels that no agent has."""


class RunPage(Message):
    """Runs, newest first."""

    runs: tuple[RunInfo, ...]
    next: str | None
    """`cursor` of the next page."""


class Line(Message):
    """One log line of a run."""

    id: int = Field(ge=1)
    time: float
    level: Literal["debug", "info", "warning", "error"]
    node: str = Field(default="", max_length=1000)
    item: int | None = None
    worker: str = Field(default="", max_length=1000)
    text: str = Field(max_length=MAX_TEXT)


class Me(Message):
    """Who asks."""

    kind: str
    """Of the token: `user`, `agent` or `attempt`; `user` for a session."""
    name: str
    role: Role | None
    """In every project."""
    roles: dict[str, Role]
    """In single projects."""
    person: bool
    """Whether it is a person or a token of one, and not a token by itself."""
    csrf: str = ""
    """What a page of this session sends back with a change, in the header `Swath-CSRF`; empty for tokens."""


class AuditEntry(Message):
    """What somebody changed."""

    id: str
    time: float
    who: str
    action: str
    subject: str
    detail: dict[str, Any]
    via: str = ""
    """`session`, or the name of the token."""
    address: str = ""
    """From which it was asked."""


class AuditPage(Message):
    """Changes, newest first."""

    entries: tuple[AuditEntry, ...]
    next: str | None
    """`cursor` of the next page."""


class LinePage(Message):
    """Log lines in their order."""

    lines: tuple[Line, ...]
    next: int
    """`after` of the next page."""
    ended: bool
    """Whether the run has ended, and nothing comes after the last line."""


# --- agents


class AgentRegistration(Message):
    """An agent says that it is there."""

    name: Name
    session: Annotated[str, Field(min_length=8, max_length=64)]
    """Random word of this process: of two agents of one name the newer one goes on, the older one is told to end."""
    labels: tuple[Label, ...] = Field(default=(), max_length=50)
    slots: int = Field(ge=1, le=1000)
    """How many runs it executes at once."""
    version: str = Field(max_length=50)
    accepts: tuple[Annotated[str, Field(max_length=1000)], ...] = Field(default=(), max_length=100)
    """Addresses of git repositories whose code it executes; one that ends with `/` stands for all below it."""
    launchers: tuple[Name, ...] = Field(default=(), max_length=100)
    """Names that `runs_on` may have."""


class AgentInfo(Message):
    """One agent."""

    id: str
    name: str
    labels: tuple[str, ...]
    slots: int
    busy: int
    """Attempts that it has."""
    version: str
    seen_s: float
    """Seconds since it was last heard of."""
    paused: bool
    project: str | None = None
    """The only project whose runs it takes; None for all."""
    accepts: tuple[str, ...] = ()
    """Addresses of git repositories whose code it executes."""
    launchers: tuple[str, ...] = ()
    """Names that `runs_on` may have."""


class AttemptName(Message):
    """One try to execute a run."""

    run: str
    number: int = Field(ge=1)


class Registered(Message):
    """The answer to a registration."""

    id: str
    beat_s: float
    """How often supervisors and the agent are expected to be heard."""
    wait_s: float
    """How long a claim waits for work."""
    server: str = ""
    """Id of the server's database: it stays the same at another address."""
    attempts: tuple[AttemptName, ...]
    """Attempts that the server believes this agent to have: after a restart it takes them up, or says that they are gone."""


class Claim(Message):
    """An agent asks for a run. The same `claim` gets the same answer, so a lost answer loses no run."""

    session: str = Field(min_length=8, max_length=64)
    claim: str = Field(min_length=16, max_length=64)
    wait_s: float = Field(default=0, ge=0, le=25)


class Work(Message):
    """A run for the agent that claimed it."""

    run: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")
    number: int
    token: str
    """Proves the right to report this attempt, and nothing else."""
    project: str
    source: dict[str, Any]
    request: RunRequest
    commit: str = Field(default="", pattern=r"^([0-9a-f]{40}([0-9a-f]{24})?)?$")
    """What an earlier attempt has executed, and this one has to."""


class Gone(Message):
    """An agent says that an attempt of its has ended without a word of its supervisor."""

    number: int = Field(ge=1)
    error: str = Field(max_length=MAX_TEXT)
    exit_code: int | None = None


# --- supervisors


class Beat(Message):
    """A supervisor says that its attempt goes on; or its agent, that it is about to begin."""

    started: bool = True
    """Whether its supervisor is there. An agent may speak for an attempt only before that."""
    earlier: int | None = Field(default=None, ge=1)
    """Number of an earlier attempt whose log lines are in the same journal: the answer says where its lines end."""
    commit: str = Field(default="", pattern=r"^([0-9a-f]{40}([0-9a-f]{24})?)?$")
    """The commit that the run's ref was found to be. The first one that is told stays."""


class BeatAnswer(Message):
    """What the server wants of an attempt."""

    beat_s: float
    lost_s: float
    """Without a beat for so long the server may give the run to another agent."""
    cancel: str
    """Who asked it to stop, and why; empty if nobody did."""
    next_line: int
    """Id of the first line that the server does not have."""
    earlier_next: int | None = None
    """Id after the last line of the `earlier` attempt that was asked about, and of those before it."""
    commit: str = ""
    """The commit that is to be executed, once one was told."""


class LogLines(Message):
    """Log lines of an attempt, without a hole. Lines that the server has already are passed over."""

    lines: tuple[Line, ...] = Field(min_length=1, max_length=MAX_LINES)


class LinesAnswer(Message):
    """Id of the first line that the server does not have."""

    next_line: int
    cancel: str


class End(Message):
    """How an attempt ended. May be said again."""

    status: str = Field(min_length=1, max_length=50)
    exit_code: int = Field(ge=0, le=255)
    error: str = Field(default="", max_length=MAX_TEXT)
    outputs: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(default=(), max_length=1000)
    files: tuple[RunFile, ...] = Field(default=(), max_length=1000)
    name: str = Field(default="", max_length=200)
    pipeline: str = Field(default="", max_length=200)
    summary: dict[str, Any] = {}

    @field_validator("summary")
    @classmethod
    def _small(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(value)) > MAX_SUMMARY:
            raise ValueError(f"has more than {MAX_SUMMARY:,} characters as JSON")
        return value


# --- errors


class ProblemPlace(Message):
    """A mistake in a spec that was sent, with its position."""

    line: int
    column: int
    """Both from 1."""
    field: str
    """Dotted path of the field; empty for the document itself."""
    message: str


class Problem(Message):
    """An error, after RFC 9457 (application/problem+json)."""

    type: str = "about:blank"
    title: str
    status: int
    """HTTP status."""
    detail: str
    exit_code: int = 1
    """Of a command that gets this error."""
    remedy: str = ""
    mistakes: tuple[ProblemPlace, ...] = ()
    """All that is wrong with a spec."""
