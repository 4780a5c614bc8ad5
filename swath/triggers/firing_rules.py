"""Rules of firings that `pipe watch` and servers share: what is due, what an unended run means, and what a run gets of its trigger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from swath.triggers.schedule import Missed, delay_s, due_now
from swath.triggers.trigger import AfterTrigger, EveryTrigger, ScheduledTrigger, SensorTrigger, ServerTrigger, Trigger

SENSOR_CLASSES = get_args(SensorTrigger)
SCHEDULE_CLASSES = get_args(ScheduledTrigger)
_NOT_OF_THE_SOURCE = {
    "spec", "set", "overlap", "expires", "timeout", "every", "limit", "pending", "missed", "jitter", "quiet", "labels", "runs_on",
}  # fmt: skip
"""Fields of a trigger that may change without it being another one."""

Overlap = Literal["queue", "skip", "replace"]


@dataclass(frozen=True)
class DueFiring:
    """A due instant that gets a run."""

    moment: datetime
    not_before: float
    """With the trigger's jitter; seconds since the epoch."""
    expires: float | None

    @property
    def key(self) -> str:
        """What makes it different from all others of its trigger."""
        return due_key(self.moment)


@dataclass(frozen=True)
class DueFirings:
    """What is due of a schedule now."""

    firings: tuple[DueFiring, ...]
    left_out: str
    """What was missed and gets no run, in words; empty when nothing was."""


def due_firings(name: str, trigger: ScheduledTrigger, considered: float, now: float, missed: str) -> DueFirings | None:
    """What is due at `now` when everything until `considered` was dealt with; None when nothing was due.

    missed: instead of what the trigger says; empty for that.
    """
    schedule, start, until = trigger.schedule(), _moment(considered), _moment(now)
    if schedule.next_after(start) > until:
        return None
    rule: Missed = missed or trigger.missed  # type: ignore[assignment]
    due = due_now(schedule, start, until, rule)
    count = f"{'more than ' if due.more else ''}{due.dropped}"
    return DueFirings(
        tuple(_due_firing(name, trigger, moment) for moment in due.due),
        f"{count} missed instants were left out (missed: {rule})" if due.dropped else "",
    )


def _due_firing(name: str, trigger: ScheduledTrigger, moment: datetime) -> DueFiring:
    delayed = moment.timestamp() + delay_s(name, moment, trigger.jitter)
    return DueFiring(moment, delayed, None if trigger.expires is None else delayed + trigger.expires)


SKIPPED = "an earlier run of this trigger had not ended"


def is_left_out(overlap: str, unended: Sequence[object]) -> bool:
    """Whether a new firing gets no run because of earlier ones that have not ended."""
    return overlap == "skip" and bool(unended)


def replaces(overlap: str) -> bool:
    """Whether earlier firings that have not ended are stopped for a new one."""
    return overlap == "replace"


def fingerprint(trigger: Trigger | ServerTrigger, root: str = "") -> str:
    """Of the schedule of a trigger, or of what its sensor looks at. root: where the project is, which makes no difference."""
    fields = trigger.model_dump(
        mode="json", exclude=_NOT_OF_THE_SOURCE - ({"every"} if isinstance(trigger, EveryTrigger) else set())
    )
    text = json.dumps(fields, sort_keys=True)
    return hashlib.sha256((text.replace(root, "") if root else text).encode()).hexdigest()[:32]


def due_key(moment: datetime) -> str:
    """The key of a due instant."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def followers(
    triggers: Mapping[str, Trigger | ServerTrigger], ended: str, status: str
) -> Iterator[tuple[str, AfterTrigger]]:
    """The triggers that a run of the trigger `ended` with such a status fires."""
    for name, trigger in triggers.items():
        if isinstance(trigger, AfterTrigger) and trigger.after == ended and _counts(trigger, status):
            yield name, trigger


def _counts(trigger: AfterTrigger, status: str) -> bool:
    return trigger.status == "ended" or (trigger.status == "done") == (status == "done")


def found_of_run(found: Mapping[str, Any], run: str, status: str, outputs: Sequence[str]) -> dict[str, Any]:
    """What a trigger finds that follows a run: all that was found for that, and what the run gave."""
    return {**found, "run": run, "status": status, "outputs": list(outputs), "output": _folder(outputs)}


def _folder(outputs: Sequence[str]) -> str:
    """The folder that the outputs of a run have in common; empty without outputs."""
    first = next(iter(outputs), "")
    return first.rpartition("/")[0] or first


def set_texts(values: Mapping[str, object]) -> list[str]:
    """Values as `key=value` texts of `pipe run --set`: as JSON, which YAML reads as data."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
