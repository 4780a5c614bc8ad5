"""The log of all calls of a simulated cloud: one JSON line each, in its root folder, secrets left out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "calls.jsonl"


class CallLog:
    """Written by the simulator. A line has: at (seconds since 1970), who (client or machine), service, action, parameters,
    status (of the answer), fault (its code, when a test made it fail)."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        self._path.touch()
        self._since = 0
        self._lock = threading.Lock()

    def add(
        self, who: str, service: str, action: str, parameters: Mapping[str, Any], status: int, fault: str | None
    ) -> None:
        line = {
            "at": time.time(),
            "who": who,
            "service": service,
            "action": action,
            "parameters": parameters,
            "status": status,
            "fault": fault,
        }
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def reset(self) -> None:
        """From now on `listed` has only what comes; the file keeps everything."""
        with self._lock:
            self._since = self._path.stat().st_size

    def listed(self) -> list[dict[str, Any]]:
        with self._lock, self._path.open() as file:
            file.seek(self._since)
            return [json.loads(line) for line in file]
