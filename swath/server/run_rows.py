"""Rows of new runs, and what asks one to stop: parts of transactions in which more is written, such as why there is the run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from swath.protocol.messages import RunRequest
from swath.protocol.sources import is_commit
from swath.server.database.database import Connection, Database
from swath.server.labels import with_launchers
from swath.server.refusals import Conflict, NotFound


@dataclass(frozen=True)
class NewRun:
    """A run that is to be queued."""

    id: str
    project: str
    """Id of its project."""
    name: str
    pipeline: str
    request: RunRequest
    who: str
    key: str | None = None
    """Idempotency key."""


def request_digest(request: RunRequest) -> str:
    """What differs when a request does."""
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()


def insert_run(db: Connection, new: NewRun, now: float) -> bool:
    """Queue a run. Returns False when its project has one with its idempotency key already."""
    request = new.request
    added = db.execute(
        "INSERT INTO runs (id, project, name, pipeline, request, labels, priority, limit_key, state, attempts, when_lost,"
        " requested_by, idempotency_key, digest, queued, commit_hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (project, idempotency_key) DO NOTHING RETURNING id",
        (
            new.id, new.project, new.name, new.pipeline, request.model_dump_json(),
            with_launchers(request.labels, (request.runs_on,) if request.runs_on else ()), request.priority,
            request.limit_key or "", request.attempts, request.when_lost, new.who, new.key, request_digest(request), now,
            request.ref if request.ref and is_commit(request.ref) else "",
        ),
    )  # fmt: skip
    return bool(added)


def cancel_run(db: Connection, database: Database, run: str, why: str, now: float) -> str:
    """Ask a run to stop; one that is queued ends at once. Returns its state. Raises NotFound, and Conflict when it has ended."""
    ended = db.execute(
        "UPDATE runs SET state = 'ended', ended = ?, status = 'interrupted', exit_code = 130, error = ?, cancel = ?"
        " WHERE id = ? AND state = 'queued' RETURNING id",
        (now, why, why, run),
    )
    if ended:
        return "ended"
    rows = db.execute(f"SELECT state, cancel FROM runs WHERE id = ? {database.for_update}", (run,))
    if not rows:
        raise NotFound(f"there is no run {run}")
    if rows[0]["state"] == "ended":
        raise Conflict(f"{run} has ended already")
    if not rows[0]["cancel"]:
        db.execute("UPDATE runs SET cancel = ? WHERE id = ?", (why, run))
    state: str = rows[0]["state"]
    return state
