"""The process of one look: `python -m swath.sensors.look_process` reads a request from stdin and writes what was found to stdout.

A sensor that hangs, prints without end or crashes takes only this process with it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from swath.errors import SwathError
from swath.triggers.look import Look
from swath.triggers.trigger import SensorTrigger

MOST_BYTES = 64 << 20
"""Longest output of a look, and longest file that it may write."""
_MODULES = {kind: f"swath.sensors.{kind}" for kind in ("stac", "files", "bucket", "http", "git", "python")}


def main() -> int:
    """Look once. What the sensor prints goes to stderr."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
    result = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = _answer(json.load(sys.stdin))
    except SwathError as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - of a sensor of the project, or a fault: it is told as the outcome of the look
        answer = {"error": f"{type(error).__name__}: {error}"}
    with os.fdopen(result, "w") as out:
        json.dump(answer, out)
    return 0


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    adapter: TypeAdapter[SensorTrigger] = TypeAdapter(SensorTrigger)
    trigger = adapter.validate_python(request["trigger"])
    look: Callable[..., Look] = importlib.import_module(_MODULES[trigger.kind]).look
    found = look(trigger, request["cursor"], request["now"], Path(request["root"]))
    return {
        "found": [{"key": each.key, "values": dict(each.values)} for each in found.found],
        "cursor": found.cursor,
        "text": found.text,
    }


if __name__ == "__main__":
    sys.exit(main())
