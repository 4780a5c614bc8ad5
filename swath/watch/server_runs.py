"""Runs of a server, for `pipe watch --server`: asked for under a key that follows from the firing, so that it is asked for once.

Watching processes of several machines may ask for the same firing: the server gives all of them the same run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from swath.errors import NoSuchRun, UsageError
from swath.protocol.client import Client, ServerUnavailable
from swath.protocol.messages import RunRequest
from swath.spec.yaml.document import read
from swath.watch.project_runs import RunEnd

_PREFIX = "firing-"


class ServerRuns:
    """Asks a server for runs of one of its projects, and for how they end."""

    def __init__(self, client: Client, project: str, labels: Sequence[str] = ()) -> None:
        self._client, self._project, self._labels = client, project, tuple(labels)
        self._stopped: set[str] = set()

    def new_id(self, trigger: str, key: str) -> str:
        """What a firing is called until the server has given its run an id: always the same."""
        return _PREFIX + hashlib.sha256(f"{trigger}\0{key}".encode()).hexdigest()[:40]

    def start(self, run: str, spec: str, sets: Sequence[str], timeout_s: float | None) -> str:
        """Ask for a run; its id is returned. Raises ServerUnavailable, and UsageError when the server refuses it."""
        name = "".join(
            letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in Path(spec).stem
        )
        try:
            request = RunRequest(
                project=self._project,
                name=name[:80],
                spec=read(spec),
                set=tuple(sets),
                labels=self._labels,
                timeout_s=timeout_s,
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
        return self._client.submit(request, key=run).id

    def end_of(self, run: str) -> RunEnd | None:
        """How a run has ended; None while it goes on, or the server does not answer. Raises NoSuchRun when it was not asked for."""
        if run.startswith(_PREFIX):
            raise NoSuchRun(f"{run} was not asked for")
        try:
            info = self._client.run(run)
        except ServerUnavailable:
            return None
        if info.state != "ended":
            return None
        return RunEnd(info.status, info.error[:2000], info.outputs)

    def resume(self, run: str, timeout_s: float | None) -> bool:
        """No run of a server goes on by itself: what becomes of a lost one is said when it is asked for."""
        return False

    def stop(self, run: str, reason: str) -> None:
        """Ask a run to stop."""
        if run in self._stopped or run.startswith(_PREFIX):
            return
        try:
            self._client.cancel(run, reason)
        except ServerUnavailable:
            return
        self._stopped.add(run)

    def close(self) -> None:
        """This process ends; the server's runs go on."""
