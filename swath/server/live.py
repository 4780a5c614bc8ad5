"""How runs stand: the newest document of each, as its supervisor sends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from swath.protocol.live import Live
from swath.server.database.database import Database
from swath.server.refusals import Conflict, NotFound


class LiveDocuments:
    """Live documents in the server's database. One of an ended run stays: it is how the run stood at last."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def put(self, run: str, number: int, live: Live) -> None:
        """Replace a run's document. Raises Conflict for an attempt that is not the newest."""
        with self._database.transaction() as db:
            rows = db.execute(f"SELECT attempt FROM runs WHERE id = ? {self._database.for_update}", (run,))
            if not rows:
                raise NotFound(f"there is no run {run}")
            if rows[0]["attempt"] != number:
                raise Conflict(
                    f"attempt {number} of {run} was given up: attempt {rows[0]['attempt']} has taken its place"
                )
            db.execute(
                "INSERT INTO live (run, attempt, time, body) VALUES (?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET"
                " attempt = excluded.attempt, time = excluded.time, body = excluded.body",
                (run, number, self._clock(), live.model_dump_json()),
            )

    def get(self, run: str) -> Live | None:
        """A run's document; None before the first."""
        return self.of([run]).get(run)

    def of(self, runs: Sequence[str]) -> dict[str, Live]:
        """The documents of some runs, as far as there are any."""
        if not runs:
            return {}
        with self._database.reading() as db:
            rows = db.execute(f"SELECT run, body FROM live WHERE run IN ({', '.join('?' * len(runs))})", tuple(runs))
        return {row["run"]: Live.model_validate_json(row["body"]) for row in rows}
