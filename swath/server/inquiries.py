"""Inquiries to agents: asked by a page, taken by one agent, answered or forgotten after a while."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from swath.protocol.inquiries import Inquiry, InquiryAnswer, InquiryKind
from swath.protocol.messages import RunRequest
from swath.protocol.sources import accepts
from swath.server.database.database import Connection, Database
from swath.server.labels import joined, split
from swath.server.refusals import NotFound, TooMany

LIMIT_S = 180.0
"""How long an inquiry waits for its answer."""
KEEP_S = 3600.0
"""How long answers stay, but for the newest schemas of a project."""
FRESH_S = {"schemas": 60.0, "plan": 600.0}
"""How long an answer is taken for the same question; a plan for the same person only."""
MOST_OPEN = 20
"""Inquiries of one project that wait at once."""


@dataclass(frozen=True)
class InquiryState:
    """An inquiry, and what came of it."""

    id: str
    agent: str
    """Name of the agent that has it; empty while none does."""
    open: bool
    """Whether an answer may still come."""
    answer: InquiryAnswer | None


class Inquiries:
    """Inquiries in the server's database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def ask(self, kind: InquiryKind, request: RunRequest, who: str) -> str:
        """Ask, or take up what was asked a moment ago. Returns the inquiry's id. Raises NotFound for a project that there is not."""
        now = self._clock()
        about = json.dumps([kind, request.model_dump(mode="json"), who if kind == "plan" else ""], sort_keys=True)
        digest = hashlib.sha256(about.encode()).hexdigest()
        with self._database.transaction() as db:
            project = _project(db, request.project)
            self._forget(db, project, now)
            found = db.execute(
                "SELECT id FROM inquiries WHERE digest = ? AND ((answered IS NULL AND asked > ?) OR answered > ?) AND failed = 0"
                " ORDER BY asked DESC LIMIT 1",
                (digest, now - LIMIT_S, now - FRESH_S[kind]),
            )
            if found:
                return str(found[0]["id"])
            waiting = db.execute(
                "SELECT count(*) AS n FROM inquiries WHERE project = ? AND answered IS NULL AND asked > ?",
                (project, now - LIMIT_S),
            )
            if waiting[0]["n"] >= MOST_OPEN:
                raise TooMany("many questions about this project wait for an agent; try again in a minute")
            inquiry = secrets.token_hex(12)
            db.execute(
                "INSERT INTO inquiries (id, project, kind, digest, asked_by, asked, request, labels) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (inquiry, project, kind, digest, who, now, request.model_dump_json(), joined(request.labels)),
            )
        return inquiry

    def take(self, agent: str) -> Inquiry | None:
        """The oldest inquiry that an agent may answer: of its projects, with its labels, of code that it accepts."""
        now = self._clock()
        with self._database.transaction() as db:
            (about,) = db.execute(
                "SELECT labels, accepts, tokens.project FROM agents JOIN tokens ON tokens.id = agents.token WHERE agents.id = ?",
                (agent,),
            )
            waiting = db.execute(
                "SELECT inquiries.id, kind, request, inquiries.labels, asked, source, projects.id AS project FROM inquiries JOIN"
                " projects ON projects.id = inquiries.project WHERE agent IS NULL AND answered IS NULL AND asked > ? ORDER BY asked,"
                " inquiries.id",
                (now - LIMIT_S,),
            )
            for row in waiting:
                source = json.loads(row["source"])
                fits = set(split(row["labels"])) <= set(split(about["labels"])) and about["project"] in (
                    None,
                    row["project"],
                )
                if not fits or ("git" in source and not accepts(json.loads(about["accepts"]), source["git"])):
                    continue
                taken = db.execute(
                    "UPDATE inquiries SET agent = ? WHERE id = ? AND agent IS NULL RETURNING id", (agent, row["id"])
                )
                if taken:
                    return Inquiry(
                        id=row["id"], kind=row["kind"], source=source, request=RunRequest.model_validate_json(row["request"]),
                        limit_s=max(1.0, row["asked"] + LIMIT_S - now),
                    )  # fmt: skip
        return None

    def answer(self, agent: str, inquiry: str, answer: InquiryAnswer) -> None:
        """Keep the answer of the agent that has an inquiry; the first one counts. Raises NotFound for one that it does not have."""
        with self._database.transaction() as db:
            rows = db.execute("SELECT project, kind FROM inquiries WHERE id = ? AND agent = ?", (inquiry, agent))
            if not rows:
                raise NotFound("this agent has no such inquiry")
            failed = answer.document is None and not answer.mistakes
            db.execute(
                "UPDATE inquiries SET answered = ?, answer = ?, failed = ? WHERE id = ? AND answered IS NULL",
                (self._clock(), answer.model_dump_json(), int(failed), inquiry),
            )
            if rows[0]["kind"] == "schemas" and not failed:
                db.execute(
                    "DELETE FROM inquiries WHERE project = ? AND kind = 'schemas' AND id <> ? AND answered IS NOT NULL",
                    (rows[0]["project"], inquiry),
                )

    def state(self, inquiry: str, projects: Collection[str] | None = None) -> InquiryState:
        """What came of an inquiry. projects: only one of these. Raises NotFound."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT inquiries.id, projects.name AS project, agents.name AS agent, asked, answered, answer FROM inquiries JOIN"
                " projects ON projects.id = inquiries.project LEFT JOIN agents ON agents.id = inquiries.agent WHERE inquiries.id = ?",
                (inquiry,),
            )
        if not rows or (projects is not None and rows[0]["project"] not in projects):
            raise NotFound("there is no such inquiry")
        row = rows[0]
        answer = None if row["answer"] is None else InquiryAnswer.model_validate_json(row["answer"])
        return InquiryState(
            row["id"], row["agent"] or "", answer is None and row["asked"] > self._clock() - LIMIT_S, answer
        )

    def schemas(self, project: str) -> tuple[str, dict[str, Any]] | None:
        """The id and the document of the newest schemas of a project; None before an agent has sent some."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT inquiries.id, answer FROM inquiries JOIN projects ON projects.id = inquiries.project WHERE projects.name = ?"
                " AND kind = 'schemas' AND answered IS NOT NULL AND failed = 0 ORDER BY answered DESC LIMIT 1",
                (project,),
            )
        if not rows:
            return None
        return str(rows[0]["id"]), InquiryAnswer.model_validate_json(rows[0]["answer"]).document or {}

    def _forget(self, db: Connection, project: str, now: float) -> None:
        """Remove what is old."""
        db.execute(
            "DELETE FROM inquiries WHERE project = ? AND asked < ? AND (kind <> 'schemas' OR failed = 1 OR answered IS NULL)",
            (project, now - KEEP_S),
        )


def _project(db: Connection, name: str) -> str:
    rows = db.execute("SELECT id FROM projects WHERE name = ?", (name,))
    if not rows:
        raise NotFound(f"there is no project {name!r} on this server")
    return str(rows[0]["id"])
