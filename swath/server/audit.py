"""The record of what was changed on the server: who, when, what, with which session or token, from where."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from swath.protocol.messages import AuditEntry, AuditPage
from swath.server.database.database import Connection, Database
from swath.server.refusals import Refusal


@dataclass(frozen=True)
class AskedFrom:
    """Where a request comes from."""

    via: str = ""
    """`session`, or the token's name; empty where nobody was signed in yet, and for what the server does by itself."""
    address: str = ""


NOBODY = AskedFrom()
_asked_from: ContextVar[AskedFrom] = ContextVar("asked_from")


def note_request(via: str, address: str) -> None:
    """What is recorded until the end of this request comes from there."""
    _asked_from.set(AskedFrom(via, address))


def record(db: Connection, now: float, who: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Write down what somebody changes, in the transaction that changes it."""
    asked = _asked_from.get(NOBODY)
    db.execute(
        "INSERT INTO audit (id, time, who, action, subject, detail, via, address) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (secrets.token_hex(8), now, who, action, subject, json.dumps(dict(detail)), asked.via, asked.address),
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
            f"SELECT id, time, who, action, subject, detail, via, address FROM audit {where} ORDER BY time DESC, id DESC LIMIT ?",
            (*values, limit + 1),
        )
    entries = tuple(AuditEntry(**{**row, "detail": json.loads(row["detail"])}) for row in rows[:limit])
    following = f"{entries[-1].time!r}/{entries[-1].id}" if len(rows) > limit else None
    return AuditPage(entries=entries, next=following)
