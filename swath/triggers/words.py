"""A trigger in words, as lists and pages show it."""

from __future__ import annotations

from swath.triggers.trigger import (
    AfterTrigger,
    CronTrigger,
    EveryTrigger,
    HookTrigger,
    SensorSettings,
    ServerTrigger,
    Trigger,
)
from swath.units import duration


def trigger_words(trigger: Trigger | ServerTrigger) -> str:
    """What a trigger is, such as `cron 30 2 * * 1 Europe/Berlin`."""
    match trigger:
        case CronTrigger():
            return f"cron {trigger.cron} {trigger.zone}"
        case EveryTrigger():
            return f"every {duration(trigger.every)}"
        case AfterTrigger():
            return f"after {trigger.after} ({trigger.status})"
        case HookTrigger():
            return "signed requests"
        case SensorSettings():
            return f"sensor {trigger.sensor}"
        case _:
            return f"sensor {trigger.kind}"
