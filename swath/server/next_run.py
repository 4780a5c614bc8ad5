"""Which queued run an agent gets: labels, priorities, turns of projects, limits."""

from __future__ import annotations

import json

from swath.protocol.sources import accepts
from swath.server.database.database import Connection, Database, Row
from swath.server.labels import split


def take_next(db: Connection, database: Database, agent: str) -> Row | None:
    """Claim the next run that an agent may execute: its id, project and attempt; None if there is none.

    The oldest of the highest priority among the runs whose labels the agent has and whose code it accepts; projects take turns within a
    priority.
    """
    about = db.execute(
        "SELECT labels, slots, paused, accepts, tokens.project, (SELECT count(*) FROM attempts WHERE agent = agents.id AND ended IS"
        " NULL) AS busy FROM agents JOIN tokens ON tokens.id = agents.token WHERE agents.id = ?",
        (agent,),
    )[0]
    if about["paused"] or about["busy"] >= about["slots"]:
        return None
    has = set(split(about["labels"]))
    ready = db.execute(
        "SELECT labels, project, max(priority) AS priority, min(queued) AS queued FROM runs WHERE state = 'queued'"
        " GROUP BY labels, project"
    )
    projects = db.execute("SELECT id, last_claim, source FROM projects") if ready else []
    accepted = json.loads(about["accepts"])
    own = {
        row["id"] for row in projects if about["project"] in (None, row["id"]) and _accepted(row["source"], accepted)
    }
    fits = [row for row in ready if has.issuperset(split(row["labels"])) and row["project"] in own]
    turns = {row["id"]: row["last_claim"] for row in projects}
    fits.sort(key=lambda row: (-row["priority"], turns[row["project"]], row["queued"]))
    full = _full_limits(db, database) if fits else set()
    for row in fits:
        keys = [name for project, name in full if project == row["project"]]
        marks = ", ".join("?" * len(keys))
        taken = db.execute(
            "UPDATE runs SET state = 'claimed', attempt = attempt + 1 WHERE id = (SELECT id FROM runs WHERE state = 'queued'"
            f" AND labels = ? AND project = ? {f'AND limit_key NOT IN ({marks})' if keys else ''}"
            f" ORDER BY priority DESC, queued, id LIMIT 1 {database.skip_locked}) RETURNING id, project, attempt",
            (row["labels"], row["project"], *keys),
        )
        if taken:
            return taken[0]
    return None


def _accepted(source: str, accepted: list[str]) -> bool:
    """Whether an agent executes code of a source: folders are trusted on its machine, repositories are those that it accepts."""
    repository = json.loads(source).get("git")
    return repository is None or accepts(accepted, repository)


def _full_limits(db: Connection, database: Database) -> set[tuple[str, str]]:
    """(project, limit key) of limits that are reached. Where there are limits, other claims wait for the end of this one."""
    if database.for_update:
        db.execute(f"SELECT name FROM limits ORDER BY project, name {database.for_update}")
    rows = db.execute(
        "SELECT limits.project, limits.name FROM limits WHERE most <= (SELECT count(*) FROM runs WHERE runs.project ="
        " limits.project AND runs.limit_key = limits.name AND runs.state IN ('claimed', 'running'))"
    )
    return {(row["project"], row["name"]) for row in rows}
