"""Sensor `python`: a function of the project's own pipelines, marked with `@sensor`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from swath.errors import PipelineError, UsageError
from swath.project.project import Project
from swath.triggers.look import SENSOR_MARK, Found, Look
from swath.triggers.trigger import PythonSensor


def look(sensor: PythonSensor, cursor: Any, now: float, root: Path) -> Look:
    """What the function found. It is imported in this process only, which ends after the look."""
    project = Project.find(root)
    if not project.trusted:
        raise UsageError(f"the folder {root} is not trusted", remedy=f"pipe trust {root}")
    sys.path[:0] = [str(folder) for folder in project.pipelines] + [str(root)]
    module, _, name = sensor.function.partition(":")
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise PipelineError(f"{sensor.function}: {error}", remedy="name a module in the folder of pipelines") from error
    if not callable(function) or not getattr(function, SENSOR_MARK, False):
        raise PipelineError(
            f"{sensor.function} is no function that is marked with @swath.sensor", remedy=f"mark {name} with it"
        )
    things: list[Found] = []

    def found(key: str, **values: Any) -> None:
        things.append(Found(str(key), values))

    after = function(cursor, found, **sensor.options)
    try:
        json.dumps([after, [dict(each.values) for each in things]])
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{sensor.function}: its cursor or a value cannot be stored: {error}",
            remedy="give texts, numbers, lists and dicts",
        ) from error
    return Look(tuple(things), after, f"it saw {len(things)} things, none of them new")
