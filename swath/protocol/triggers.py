"""Messages about triggers: as they are shown, as agents report them, and looks of sensors. All of them refuse unknown fields."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from swath.protocol.messages import MAX_SPEC, MAX_TEXT, Message, Name

TriggerKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$")]
"""Name of a trigger in its project."""
MOST_TRIGGERS = 500
MOST_FOUND_AT_ONCE = 500
MAX_CURSOR = 1024 * 1024
MAX_DEFINITION = 64 * 1024
Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40}([0-9a-f]{24})?)?$")]


def _small(value: Any, most: int) -> Any:
    if len(json.dumps(value)) > most:
        raise ValueError(f"has more than {most:,} characters as JSON")
    return value


SmallMapping = Annotated[dict[str, Any], AfterValidator(lambda value: _small(value, MAX_DEFINITION))]
"""Keys and values that take a bounded number of characters as JSON."""


class TickInfo(Message):
    """What came of due instants or looks, one after the other with the same outcome."""

    first: float
    at: float
    times: int
    outcome: str
    """fired, nothing, waiting, skipped or failed."""
    text: str


class TriggerInfo(Message):
    """One trigger, as it is now."""

    project: str
    name: str
    kind: str
    what: str
    """In words: such as `cron 30 2 * * 1 Europe/Berlin`."""
    origin: Literal["file", "server"]
    """Whether it is in the project's swath.yaml, or was made on the server."""
    spec: str
    """Path of its spec in the project, or how it is called."""
    commit: str
    """At which it was read; empty for a folder, and for one that was made on the server."""
    paused: str
    """Who paused it, and when; empty when nobody did."""
    next: tuple[float, ...]
    """The next due instants, or when its sensor looks next."""
    zone: str
    pending: int
    """Firings that have not ended."""
    last: TickInfo | None
    """What came of the last due instant or look: also why nothing was started."""
    last_run: str
    """Id of the run that it asked for last; empty when there is none."""
    waits_for: str
    """Why it does nothing now; empty when it does."""


class FiringInfo(Message):
    """One firing, and what came of it."""

    key: str
    due: float
    made: float
    state: str
    """waiting, begun or ended."""
    run: str
    status: str
    text: str
    found: dict[str, Any]


class TriggerDetail(Message):
    """One trigger with its newest firings and ticks."""

    trigger: TriggerInfo
    definition: dict[str, Any]
    firings: tuple[FiringInfo, ...]
    ticks: tuple[TickInfo, ...]


class TriggerBody(Message):
    """A trigger to make: a schedule, a hook, or one that follows another."""

    definition: SmallMapping
    """As in swath.yaml, without `spec`."""
    spec: str = Field(min_length=1, max_length=MAX_SPEC)
    """Text of the spec that it runs."""


class TriggerPut(Message):
    """A trigger was made, or changed."""

    hook_key: str
    """Of a new hook: with it requests are signed. It is told this once; empty for all others."""


class TriggerPage(Message):
    """The triggers of a project."""

    triggers: tuple[TriggerInfo, ...]
    read: float | None
    """When an agent read the project's swath.yaml last; None before that."""
    problem: str
    """Why it could not be read, or what is wrong in it; empty when nothing is."""


class FireRequest(Message):
    """Ask for a run of a trigger now; of a sensor, for a look."""

    key: Annotated[str, Field(max_length=500)] | None = None
    """Of what a sensor found: once more for that."""


class Fired(Message):
    """What came of asking for a run."""

    key: str
    """Of the firing; empty when a sensor looks."""
    run: str
    """Its run, when it could begin at once."""


class ResumeRequest(Message):
    """Let a paused trigger go on."""

    missed: Literal["skip", "last", "all"] = "skip"
    """What to do with what was due during the pause."""


class LookClaim(Message):
    """An agent asks for something to look at."""

    session: str = Field(min_length=8, max_length=64)
    wait_s: float = Field(default=0, ge=0, le=25)
    without: tuple[Name, ...] = Field(default=(), max_length=1000)
    """Projects whose code it does not have."""


class LookWork(Message):
    """Something for the agent to look at: the triggers of a project, or what a sensor finds."""

    id: str = Field(pattern=r"^[A-Za-z0-9]{1,64}$")
    fence: int
    """What is said under an older number is refused."""
    project: Name
    source: dict[str, Any]
    trigger: Annotated[str, Field(max_length=100)] = ""
    """Name of the sensor's trigger; empty: the project's triggers are to be read."""
    commit: Commit = ""
    """At which the trigger was read; empty for the newest one."""
    digest: str = Field(default="", max_length=64)
    """Of the triggers that were read last: what has not changed is not sent again."""
    cursor: Any = None


class ReportedTrigger(Message):
    """A trigger of a project's swath.yaml, as an agent read it."""

    name: TriggerKey
    fingerprint: str = Field(max_length=64)
    definition: SmallMapping
    spec: str = Field(min_length=1, max_length=MAX_SPEC)
    """Text of its spec."""


class TriggersRead(Message):
    """What an agent read of a project."""

    session: str = Field(min_length=8, max_length=64)
    fence: int
    commit: Commit = ""
    triggers: tuple[ReportedTrigger, ...] | None = Field(default=None, max_length=MOST_TRIGGERS)
    """None when they are as they were, or could not be read."""
    digest: str = Field(default="", max_length=64)
    """Of the triggers and the commit."""
    error: str = Field(default="", max_length=MAX_TEXT)
    """Why they could not be read."""


class FoundThing(Message):
    """One thing that a look found."""

    key: str = Field(min_length=1, max_length=500)
    values: SmallMapping = Field(default_factory=dict)


class LookAnswer(Message):
    """What a look found. A long answer comes in parts; the last of them has the cursor."""

    session: str = Field(min_length=8, max_length=64)
    fence: int
    found: tuple[FoundThing, ...] = Field(default=(), max_length=MOST_FOUND_AT_ONCE)
    more: bool = False
    """Another part follows."""
    cursor: Any = None
    text: str = Field(default="", max_length=MAX_TEXT)
    """Why nothing was found, in words."""
    error: str = Field(default="", max_length=MAX_TEXT)
    """Why the look failed."""

    @field_validator("cursor")
    @classmethod
    def _check_cursor(cls, value: Any) -> Any:
        return _small(value, MAX_CURSOR)
