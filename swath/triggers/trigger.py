"""Triggers in swath.yaml: what starts runs by itself. Schedules, what follows another trigger's run, and sensors."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from swath.spec.fields.area import Area
from swath.spec.fields.paths import InputPath
from swath.spec.locations import is_remote
from swath.spec.spec_model import ShortForm, SpecModel, mistake
from swath.triggers import values
from swath.triggers.fields import CronExpression, Duration, Instant, ZoneName
from swath.triggers.schedule import EPOCH, CronSchedule, IntervalSchedule, Missed

LONGEST_PERIOD_S = 366 * 86400.0


class _Trigger(SpecModel):
    found_names: ClassVar[frozenset[str] | None] = frozenset()
    """What `${found:NAME}` may name; None when the trigger itself decides."""

    spec: InputPath
    """The spec to run."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Values that replace those of the spec, as `pipe run --set` does. `${trigger:...}` and `${found:...}` are put in."""
    overlap: Literal["queue", "skip", "replace"] = "queue"
    """When a run of this trigger has not ended yet: wait for its end, leave the new one out, or stop the old one."""
    expires: Duration | None = Field(default=None, gt=0)
    """A run that has not started so long after it was due is not started any more."""
    timeout: Duration | None = Field(default=None, gt=0)
    """Stop a run after so long."""
    labels: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")], ...] = Field(
        default=(), max_length=20
    )
    """On a server: labels that the agent must have that executes the runs, and looks."""
    runs_on: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None = None
    """On a server: a launcher of an agent, for the runs."""

    @field_validator("set")
    @classmethod
    def _check_values(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for key, value in settings.items():
            for kind, name in values.references(value):
                if problem := values.reference_problem(kind, name, cls.found_names):
                    raise mistake("{problem}", at=(key,), problem=problem)
        return settings

    @property
    def wants_previous(self) -> bool:
        """Whether a value of the previous run is used."""
        return any(kind == "previous" for kind, _ in values.references(self.set))


class _Scheduled(_Trigger):
    missed: Missed = "last"
    """Due instants at which nothing was there to start a run: leave them out, make up for the last one, or for all."""
    jitter: Duration = Field(default=0, ge=0)
    """Start up to so much later, another time for each trigger and instant."""


class CronTrigger(_Scheduled):
    """Due as a cron expression says."""

    kind: Literal["schedule"] = "schedule"
    cron: CronExpression
    """Minute, hour, day of the month, month, day of the week, as Debian's cron reads them."""
    zone: ZoneName = "UTC"
    """Time zone of the expression."""

    def schedule(self) -> CronSchedule:
        """Its due instants."""
        return CronSchedule(self.cron, self.zone)


class EveryTrigger(_Scheduled):
    """Due every so often, whatever the clock's zone does."""

    kind: Literal["interval"] = "interval"
    every: Duration = Field(ge=1, le=LONGEST_PERIOD_S)
    """The period. For a time of day or a day of the week use `cron`."""
    start: Instant = EPOCH
    """An instant at which it is due."""

    def schedule(self) -> IntervalSchedule:
        """Its due instants."""
        return IntervalSchedule(self.every, self.start)


class AfterTrigger(_Trigger):
    """A run of another trigger of this project has ended."""

    found_names: ClassVar[frozenset[str] | None] = None

    kind: Literal["follow"] = "follow"
    after: str
    """Name of the other trigger."""
    status: Literal["done", "failed", "ended"] = "done"
    """Which end counts: done, anything but done, or any."""


class _Sensor(_Trigger):
    every: Duration = Field(default=600, ge=1, le=LONGEST_PERIOD_S)
    """How often to look."""
    limit: Duration = Field(default=600, gt=0)
    """Time limit of one look."""
    existing: Literal["skip", "run"] = "skip"
    """What is there at the first look: remember it, or run for it, too."""
    pending: int = Field(default=20, ge=1, le=10_000)
    """No looks while so many runs of this trigger have not ended."""


class StacSensor(_Sensor):
    """New items of a STAC API or catalogue over an area."""

    found_names: ClassVar[frozenset[str] | None] = frozenset(
        ("key", "day", "datetime", "start", "end", "ids", "id", "collection", "count", "coverage", "cloud_cover")
    )

    kind: Literal["stac"] = "stac"
    api: str | None = None
    """Root URL of a STAC API. Give this or `catalog`."""
    catalog: InputPath | None = None
    """Path or URL of a catalogue, collection or ItemCollection."""
    collections: tuple[str, ...] = ()
    """Collections to search."""
    area: Area | None = None
    """Items must touch it; needed for `coverage`."""
    per: Literal["item", "day"] = "item"
    """One run for each item, or one for each day (UTC) with items: an overpass."""
    coverage: float = Field(default=0, ge=0, le=1)
    """Least part of the area that the footprints of an item, or of a day's items, cover together."""
    cloud_cover: float | None = Field(default=None, ge=0, le=100)
    """Largest eo:cloud_cover in percent; cloudier items do not count."""
    quiet: Duration = Field(default=0, ge=0)
    """No new item of the day for so long."""
    look_back: Duration = Field(default=10 * 86400, gt=0)
    """How old the acquisitions may be: catalogues list them late."""

    @model_validator(mode="after")
    def _one_place(self) -> StacSensor:
        if (self.catalog is None) == (self.api is None):
            raise ValueError("give either catalog or api")
        if self.coverage and self.area is None:
            raise ValueError("coverage needs an area")
        return self


class FilesSensor(_Sensor):
    """New files on this machine."""

    found_names: ClassVar[frozenset[str] | None] = frozenset(("key", "path", "name", "stem", "size", "modified"))

    kind: Literal["files"] = "files"
    paths: str
    """A pattern such as incoming/**/*.tif, relative to the project."""
    quiet: Duration = Field(default=60, ge=0)
    """A file counts once it was not changed for so long."""
    on: Literal["new", "change"] = "new"
    """One run for each file, or one more whenever it was changed."""
    every: Duration = Field(default=60, ge=1, le=LONGEST_PERIOD_S)
    """How often to look."""


class BucketSensor(_Sensor):
    """New objects in a bucket."""

    found_names: ClassVar[frozenset[str] | None] = frozenset(("key", "url", "name", "stem", "size", "modified"))

    kind: Literal["bucket"] = "bucket"
    url: str
    """What is listed, such as s3://bucket/prefix/ or gs://bucket/prefix/."""
    names: str = "*"
    """Pattern of the objects' names below it, such as *.tif."""
    on: Literal["new", "change"] = "new"
    """One run for each object, or one more whenever it was written again."""

    @field_validator("url")
    @classmethod
    def _is_a_store(cls, url: str) -> str:
        if not is_remote(url) or url.startswith(("http://", "https://")):
            raise mistake("expected an address in a store, such as s3://bucket/prefix/ or gs://bucket/prefix/")
        return url


class HttpSensor(_Sensor):
    """A document at an address that changes."""

    found_names: ClassVar[frozenset[str] | None] = frozenset(("key", "url", "value"))

    kind: Literal["http"] = "http"
    url: str
    """The address."""
    pointer: str | None = Field(default=None, pattern=r"^(/[^/]*)*$")
    """JSON pointer of the value that counts, such as /latest/id; the whole document when not given."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise mistake("expected an address that begins with http:// or https://")
        return url


class GitSensor(_Sensor):
    """A branch or tag of a git repository that moves."""

    found_names: ClassVar[frozenset[str] | None] = frozenset(("key", "commit", "ref"))

    kind: Literal["git"] = "git"
    url: str
    """The repository: an address, or a folder."""
    ref: str = Field(default="main", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/+-]*$")
    """Name of the branch or tag."""

    @field_validator("url")
    @classmethod
    def _is_no_option(cls, url: str) -> str:
        if url.startswith("-") or "::" in url:
            raise mistake("expected the address of a repository")
        return url


class PythonSensor(_Sensor):
    """A function of the project's own pipelines, marked with `@sensor`."""

    found_names: ClassVar[frozenset[str] | None] = None

    kind: Literal["python"] = "python"
    function: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
    """Module in the folder of pipelines, and function, such as orders:new_orders."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the function."""


class SensorSettings(_Sensor):
    """What a server knows of a sensor: how often it looks and what it starts, but not what it looks at. That is the agents' matter."""

    found_names: ClassVar[frozenset[str] | None] = None

    kind: Literal["sensor"] = "sensor"
    sensor: str = Field(max_length=100)
    """Kind of the sensor."""


SensorTrigger = StacSensor | FilesSensor | BucketSensor | HttpSensor | GitSensor | PythonSensor
ScheduledTrigger = CronTrigger | EveryTrigger
SENSORS = ("stac", "files", "bucket", "http", "git", "python")

_KINDS = {"cron": "schedule", "after": "follow", "every": "interval"}
"""Key -> kind. No kind is called as a key: the path of a mistake has both."""


def _with_kind(value: Any, info: Any) -> Any:
    if not isinstance(value, dict) or "kind" in value:
        return value
    if "sensor" in value:
        rest = {key: item for key, item in value.items() if key != "sensor"}
        if value["sensor"] not in SENSORS:
            raise mistake("there is no such sensor; there are {names}", at=("sensor",), names=", ".join(SENSORS))
        return {**rest, "kind": value["sensor"]}
    kinds = [kind for key, kind in _KINDS.items() if key in value]
    if not kinds:
        raise mistake("a trigger has cron: (a schedule), every: (a period), after: (another trigger) or sensor:")
    return {**value, "kind": kinds[0]}


Trigger = Annotated[ScheduledTrigger | AfterTrigger | SensorTrigger, Field(discriminator="kind"), ShortForm(_with_kind)]
"""One trigger: its kind follows from cron, every, after or sensor."""


class HookValue(SpecModel):
    """A value in the body of a signed request."""

    pointer: str = Field(pattern=r"^(/[^/]*)+$", max_length=500)
    """JSON pointer, such as /scene/id."""
    type: Literal["text", "number", "integer", "boolean", "date"] = "text"
    """What it has to be; a date is written as 2026-11-29."""


class HookTrigger(_Trigger):
    """A signed request has come. On servers only."""

    found_names: ClassVar[frozenset[str] | None] = None

    kind: Literal["webhook"] = "webhook"
    hook: dict[str, HookValue] = Field(default_factory=dict, max_length=50)
    """Values of its body, for `${found:NAME}`."""

    @model_validator(mode="after")
    def _known_values(self) -> HookTrigger:
        for kind, name in values.references(self.set):
            if problem := values.reference_problem(kind, name, frozenset(self.hook) | {"key"}):
                raise ValueError(problem)
        return self


def _with_server_kind(value: Any, info: Any) -> Any:
    if isinstance(value, dict) and "kind" not in value and "hook" in value:
        return {**value, "kind": "webhook"}
    return _with_kind(value, info)


ServerTrigger = Annotated[
    ScheduledTrigger | AfterTrigger | HookTrigger | SensorSettings,
    Field(discriminator="kind"),
    ShortForm(_with_server_kind),
]
"""One trigger, as a server stores it."""
