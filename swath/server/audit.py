"""The record of what was changed on the server: who, when, what."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from swath.protocol.messages import AuditEntry, AuditPage
from swath.server.database.database import Connection, Database
from swath.server.refusals import Refusal


def record(db: Connection, now: float, who: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Write down what somebody changes, in the transaction that changes it."""
    db.execute(
        "INSERT INTO audit (id, time, who, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (secrets.token_hex(8), now, who, action, subject, json.dumps(dict(detail))),
    )


def audit_page(database: Database, cursor: str | None = None, limit: int = 100) -> AuditPage:
    """A page of the record, newest first. cursor: `next` of the page before. Raises Refusal for a cursor that is none."""
    where = ""
    values: tuple[float | str, ...] = ()
    if cursor is not None:
        at, _, entry = cursor.partition("/")
        try:
            values = (float(at), float(at), entry)
        except ValueError:
            raise Refusal(f"{cursor!r} is no cursor of a page of changes") from None
        where = "WHERE time < ? OR (time = ? AND id < ?)"
    with database.reading() as db:
        rows = db.execute(
            f"SELECT id, time, who, action, subject, detail FROM audit {where} ORDER BY time DESC, id DESC LIMIT ?",
            (*values, limit + 1),
        )
    entries = tuple(AuditEntry(**{**row, "detail": json.loads(row["detail"])}) for row in rows[:limit])
    following = f"{entries[-1].time!r}/{entries[-1].id}" if len(rows) > limit else None
    return AuditPage(entries=entries, next=following)
