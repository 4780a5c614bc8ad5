"""Types of fields of triggers: durations, instants, time zones and cron expressions."""

from __future__ import annotations

import datetime
from datetime import UTC
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator

from swath.spec.spec_model import mistake
from swath.units import parse_duration

FIELDS = 5
"""Fields of a cron expression: minute, hour, day of the month, month, day of the week."""
LONGEST_S = 100 * 366 * 86400.0
_SOME_MOMENT = datetime.datetime(2026, 1, 1, tzinfo=UTC)


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = parse_duration(value)
        except ValueError:
            raise mistake("expected a duration such as 90s, 30m, 6h, 1h30m or 10d") from None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if not abs(value) <= LONGEST_S:  # also what is no number
        raise mistake("expected a duration of at most a hundred years")
    return float(value)


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        raise mistake("expected an instant such as 2026-01-01T00:00Z") from None
    if not 1900 <= moment.year < 2200:  # what comes after it has to be an instant too
        raise mistake("expected an instant between the years 1900 and 2200")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError in name only
        raise mistake("there is no time zone of this name; write one such as Europe/Berlin or UTC") from None
    except KeyError:
        raise mistake("there is no time zone of this name; write one such as Europe/Berlin or UTC") from None
    return name


def _cron(text: str) -> str:
    from cronsim import CronSim, CronSimError

    parts = text.split()
    if len(parts) != FIELDS:
        raise mistake("a cron expression has five fields: minute, hour, day of the month, month, day of the week")
    try:
        next(CronSim(text, _SOME_MOMENT))
    except CronSimError as error:
        raise mistake("not a cron expression: {why}", why=str(error)) from None
    except StopIteration:
        raise mistake("no day is such a day") from None
    return " ".join(parts)


Duration = Annotated[float, BeforeValidator(_duration)]
"""Seconds, written as 90s, 30m, 6h or 10d."""
Instant = Annotated[datetime.datetime, BeforeValidator(_instant)]
"""A moment in UTC, written as in RFC 3339; one without a zone is in UTC."""
ZoneName = Annotated[str, AfterValidator(_zone)]
"""A time zone by its name in the IANA database."""
CronExpression = Annotated[str, AfterValidator(_cron)]
"""Five fields as Debian's cron reads them."""
