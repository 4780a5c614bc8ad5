"""The queue: runs are asked for, claimed by one agent each, and end once.

A run is `queued`, `claimed` (an agent has it), `running` (its supervisor was heard of) or `ended`. Every attempt has a number, the
fence: what an older attempt says is refused once there is a newer one. Only this module changes states.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swath.protocol.messages import (
    AttemptName,
    Beat,
    BeatAnswer,
    End,
    Gone,
    Line,
    LinesAnswer,
    RunRequest,
    Work,
)
from swath.protocol.tokens import new_token, token_digest
from swath.server.audit import record
from swath.server.database.database import Connection, Database, Row
from swath.server.next_run import take_next
from swath.server.refusals import Conflict, NotFound, Refusal
from swath.server.run_rows import NewRun, cancel_run, insert_run, request_digest


@dataclass(frozen=True)
class QueueLimits:
    """Times of the queue."""

    beat_s: float = 10.0
    """How often supervisors and agents are expected to be heard."""
    start_s: float = 120.0
    """A claimed run whose supervisor is not heard of for so long is queued again."""
    lost_s: float = 600.0
    """A running run whose supervisor is not heard of for so long is lost."""
    gap_s: float = 30.0
    """When nobody looked after attempts for so long, because the server or its database was away, silence is counted anew."""
    starts: int = 5
    """Attempts that no supervisor ever spoke for, after which a run is lost: a run that ends every agent must not go round for ever."""


class Queue:
    """Runs and their attempts in the server's database."""

    def __init__(
        self, database: Database, limits: QueueLimits = QueueLimits(), clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self.limits = limits
        self._clock = clock
        self._settled = -float("inf")
        self._listening_since = float("inf")
        """Since when the server could be heard by supervisors without a gap; nobody is silent for longer than that."""

    # --- asking

    def submit(
        self, request: RunRequest, run: str, name: str, pipeline: str, who: str, key: str | None = None
    ) -> tuple[str, bool]:
        """Add a run under an id. Returns the run's id, and whether it is new.

        key: makes it safe to ask again after an answer was lost: the same key with the same request gives the same run.
        Raises NotFound for an unknown project, Conflict when the key was used for another request.
        """
        digest = request_digest(request)
        with self._database.transaction() as db:
            project = self._project(db, request)
            if key is not None:
                earlier = db.execute(
                    "SELECT id, digest FROM runs WHERE project = ? AND idempotency_key = ?", (project, key)
                )
                if earlier:
                    return self._same(earlier[0], digest, key)
            new = NewRun(run, project, name, pipeline, request, who, key)
            added = insert_run(db, new, self._clock())
            if not added:  # another server process was asked with this key at the same moment
                earlier = db.execute(
                    "SELECT id, digest FROM runs WHERE project = ? AND idempotency_key = ?", (project, key)
                )
                return self._same(earlier[0], digest, key or "")
        return run, True

    def _same(self, earlier: Row, digest: str, key: str) -> tuple[str, bool]:
        if earlier["digest"] != digest:
            raise Conflict(
                f"the idempotency key {key!r} was used for another request (run {earlier['id']})",
                remedy="use another key for another request",
                status=422,
            )
        return earlier["id"], False

    def _project(self, db: Connection, request: RunRequest) -> str:
        found = db.execute("SELECT id, source FROM projects WHERE name = ?", (request.project,))
        if not found:
            raise NotFound(
                f"there is no project {request.project!r} on this server",
                remedy="`pipe agents` shows what agents serve",
            )
        if request.ref is not None and "git" not in json.loads(found[0]["source"]):
            raise Refusal(
                f"the code of project {request.project} is a folder, which has no ref",
                remedy="leave the ref out, or `pipe project add --git URL`",
            )
        project: str = found[0]["id"]
        return project

    # --- claiming

    def claim(self, agent: str, claim: str) -> Work | None:
        """Give an agent the next run that it may execute; None if there is none. The same `claim` gives the same run again.

        The oldest of the highest priority among the runs whose labels the agent has; projects take turns within a priority.
        """
        with self._database.transaction() as db:
            told = db.execute("SELECT run, number, agent, ended FROM attempts WHERE claim = ?", (claim,))
            if told and (told[0]["agent"] != agent or told[0]["ended"] is not None):
                return None  # its answer comes too late for that attempt; the agent asks with another word
            if told:
                return self._work(db, told[0]["run"], told[0]["number"], self._renew_token(db, told[0]))
            row = take_next(db, self._database, agent)
            if row is None:
                return None
            now, token = self._clock(), new_token("attempt")
            db.execute(
                "INSERT INTO attempts (run, number, claim, agent, token, claimed, beat) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row["id"], row["attempt"], claim, agent, token_digest(token), now, now),
            )
            db.execute("UPDATE projects SET last_claim = ? WHERE id = ?", (now, row["project"]))
            return self._work(db, row["id"], row["attempt"], token)

    def _renew_token(self, db: Connection, attempt: Row) -> str:
        """A token for an attempt whose first one may not have arrived."""
        token = new_token("attempt")
        db.execute(
            "UPDATE attempts SET token = ? WHERE run = ? AND number = ?",
            (token_digest(token), attempt["run"], attempt["number"]),
        )
        return token

    def _work(self, db: Connection, run: str, number: int, token: str) -> Work:
        row = db.execute(
            "SELECT runs.request, runs.commit_hash, projects.name, projects.source FROM runs JOIN projects ON projects.id ="
            " runs.project WHERE runs.id = ?",
            (run,),
        )[0]
        return Work(
            run=run, number=number, token=token, project=row["name"], source=json.loads(row["source"]),
            request=RunRequest.model_validate_json(row["request"]), commit=row["commit_hash"],
        )  # fmt: skip

    def attempts_of(self, agent: str) -> tuple[AttemptName, ...]:
        """Attempts of an agent that have not ended."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT run, number FROM attempts WHERE agent = ? AND ended IS NULL ORDER BY claimed", (agent,)
            )
        return tuple(AttemptName(run=row["run"], number=row["number"]) for row in rows)

    # --- going on

    def take_over(self, run: str, number: int) -> Work:
        """The supervisor of an attempt in a job takes over from the agent: it gets a token, and the one that the job's definition has
        is worthless from its first beat on. Until then it may ask again. Raises Conflict."""
        with self._database.transaction() as db:
            self._current(db, run, number)
            token = new_token("attempt")
            taken = db.execute(
                "UPDATE attempts SET launch_token = coalesce(launch_token, token), token = ?"
                " WHERE run = ? AND number = ? AND started IS NULL RETURNING run",
                (token_digest(token), run, number),
            )
            if not taken:
                raise Conflict(f"attempt {number} of {run} has begun already")
            return self._work(db, run, number, token)

    def beat(self, run: str, number: int, asked: Beat | None = None) -> BeatAnswer:
        """An attempt goes on, or is about to begin. Raises Conflict when it has ended or there is a newer one."""
        asked = asked or Beat()
        with self._database.transaction() as db:
            row = self._current(db, run, number)
            now, earlier_next = self._clock(), None
            if asked.earlier is not None:  # lines of one attempt stand together, as an older attempt adds none
                last = db.execute(
                    "SELECT max(id) AS id FROM lines WHERE run = ? AND attempt <= ?", (run, asked.earlier)
                )
                earlier_next = 1 + (last[0]["id"] or 0)
            db.execute("UPDATE attempts SET beat = ? WHERE run = ? AND number = ?", (now, run, number))
            if asked.started:
                db.execute(
                    "UPDATE attempts SET started = coalesce(started, ?) WHERE run = ? AND number = ?",
                    (now, run, number),
                )
                db.execute(
                    "UPDATE runs SET state = 'running', started = coalesce(started, ?) WHERE id = ? AND state = 'claimed'",
                    (now, run),
                )
            if asked.commit and not row["commit_hash"]:
                db.execute("UPDATE runs SET commit_hash = ? WHERE id = ?", (asked.commit, run))
        return BeatAnswer(
            beat_s=self.limits.beat_s, lost_s=self.limits.lost_s, cancel=row["cancel"], next_line=row["next_line"],
            earlier_next=earlier_next, commit=row["commit_hash"] or asked.commit,
        )  # fmt: skip

    def add_lines(self, run: str, number: int, lines: Sequence[Line]) -> LinesAnswer:
        """Add log lines in their order; those that are there are passed over, those after a hole are asked for again."""
        with self._database.transaction() as db:
            row = self._current(db, run, number)
            db.execute("UPDATE attempts SET beat = ? WHERE run = ? AND number = ?", (self._clock(), run, number))
            next_line = row["next_line"]
            new = []
            for line in lines:
                if line.id == next_line:
                    new.append(
                        (run, line.id, number, line.time, line.level, line.node, line.item, line.worker, line.text)
                    )
                    next_line += 1
            if new:
                db.execute_many(
                    "INSERT INTO lines (run, id, attempt, time, level, node, item, worker, text)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    new,
                )
                db.execute("UPDATE runs SET next_line = ? WHERE id = ?", (next_line, run))
        return LinesAnswer(next_line=next_line, cancel=row["cancel"])

    def _current(self, db: Connection, run: str, number: int) -> Row:
        """The row of a run whose newest attempt has this number and has not ended."""
        rows = db.execute(
            f"SELECT state, attempt, cancel, next_line, commit_hash FROM runs WHERE id = ? {self._database.for_update}",
            (run,),
        )
        if not rows:
            raise NotFound(f"there is no run {run}")
        if rows[0]["attempt"] != number:
            raise Conflict(f"attempt {number} of {run} was given up: attempt {rows[0]['attempt']} has taken its place")
        if rows[0]["state"] not in ("claimed", "running"):
            raise Conflict(f"{run} is {rows[0]['state']}: attempt {number} cannot go on")
        return rows[0]

    # --- ending

    def end(self, run: str, number: int, end: End) -> None:
        """Write how an attempt ended, and its run with it. The same end may be said again; another one raises Conflict."""
        with self._database.transaction() as db:
            rows = db.execute(
                f"SELECT state, attempt, status FROM runs WHERE id = ? {self._database.for_update}", (run,)
            )
            if (
                rows
                and rows[0]["state"] == "ended"
                and rows[0]["attempt"] == number
                and rows[0]["status"] == end.status
            ):
                return
            self._current(db, run, number)
            self._end_attempt(db, run, number)
            db.execute(
                "UPDATE runs SET state = 'ended', ended = ?, status = ?, exit_code = ?, error = ?, outputs = ?, files = ?, summary = ?,"
                " name = CASE WHEN ? = '' THEN name ELSE ? END, pipeline = CASE WHEN ? = '' THEN pipeline ELSE ? END WHERE id = ?",
                (
                    self._clock(), end.status, end.exit_code, end.error, json.dumps(end.outputs),
                    json.dumps([file.model_dump() for file in end.files]), json.dumps(end.summary),
                    end.name, end.name, end.pipeline, end.pipeline, run,
                ),
            )  # fmt: skip

    def gone(self, agent: str, run: str, gone: Gone) -> None:
        """The agent of an attempt says that its supervisor has ended without a word: the run is lost, or made again.

        Raises NotFound for an attempt of another agent, Conflict while its supervisor is still heard of.
        """
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT beat, started FROM attempts WHERE run = ? AND number = ? AND agent = ?",
                (run, gone.number, agent),
            )
            if not rows:
                raise NotFound(f"there is no attempt {gone.number} of {run} of this agent")
            self._current(db, run, gone.number)
            if rows[0]["started"] is not None and self._clock() - rows[0]["beat"] < 3 * self.limits.beat_s:
                raise Conflict(f"attempt {gone.number} of {run} was heard of a moment ago")
            self._lose(db, run, gone.number, gone.error, gone.exit_code)

    def cancel(self, run: str, who: str, reason: str) -> str:
        """Ask a run to stop; one that is queued ends at once. Returns its state. Raises Conflict when it has ended."""
        with self._database.transaction() as db:
            return cancel_run(
                db, self._database, run, f"cancelled by {who}{f': {reason}' if reason else ''}", self._clock()
            )

    def resume(self, run: str, who: str) -> None:
        """Queue a run again that has ended without its result. The attempt that comes goes on where the journal of its machine ends.

        Raises Conflict for a run that goes on, is done, or was refused.
        """
        with self._database.transaction() as db:
            rows = db.execute(
                f"SELECT state, status, attempt, attempts FROM runs WHERE id = ? {self._database.for_update}", (run,)
            )
            if not rows:
                raise NotFound(f"there is no run {run}")
            row = rows[0]
            if row["state"] != "ended":
                raise Conflict(f"{run} is {row['state']}: it has not ended")
            if row["status"] in ("done", "refused"):
                raise Conflict(f"{run} is {row['status']}: there is nothing to resume", remedy="submit it again")
            db.execute(
                "UPDATE runs SET state = 'queued', status = '', ended = NULL, exit_code = NULL, error = '', cancel = '', outputs ="
                " '[]', files = '[]', summary = '{}', attempts = ? WHERE id = ?",
                (max(row["attempts"], row["attempt"] + 1), run),
            )
            db.execute(
                "UPDATE firings SET state = 'begun', status = '' WHERE run_id = ?", (run,)
            )  # its end counts again
            record(db, self._clock(), who, "resume run", run, {"was": row["status"]})

    def settle(self) -> list[str]:
        """Give up attempts that were not heard of for too long. Returns the runs concerned. To be called every few seconds: silence
        counts only while it is, as supervisors are not heard while the server or its database is away."""
        now = self._clock()
        if now - self._settled > self.limits.gap_s:
            self._listening_since = now
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT runs.id, runs.attempt FROM runs JOIN attempts ON attempts.run = runs.id AND attempts.number ="
                " runs.attempt WHERE runs.state IN ('claimed', 'running') AND attempts.beat < ?",
                (now - min(self.limits.start_s, self.limits.lost_s),),
            )
            given_up = [row["id"] for row in rows if self._give_up_silent(db, row["id"], row["attempt"], now)]
        self._settled = now
        return given_up

    def _give_up_silent(self, db: Connection, run: str, number: int, now: float) -> bool:
        """Whether an attempt was given up: it may have been heard of, or have ended, since it was listed."""
        row = db.execute(f"SELECT state, attempt, cancel FROM runs WHERE id = ? {self._database.for_update}", (run,))[0]
        beat = db.execute("SELECT beat FROM attempts WHERE run = ? AND number = ?", (run, number))[0]["beat"]
        if row["attempt"] != number or row["state"] not in ("claimed", "running"):
            return False
        silence = now - max(beat, self._listening_since)
        if silence <= (self.limits.start_s if row["state"] == "claimed" else self.limits.lost_s):
            return False
        if row["state"] == "claimed" and row["cancel"]:
            self._end_attempt(db, run, number)
            db.execute(
                "UPDATE runs SET state = 'ended', ended = ?, status = 'interrupted', exit_code = 130, error = ? WHERE id = ?",
                (now, row["cancel"], run),
            )
        elif row["state"] == "claimed" and number % self.limits.starts:
            self._end_attempt(db, run, number)
            db.execute("UPDATE runs SET state = 'queued' WHERE id = ?", (run,))
        else:
            self._lose(db, run, number, f"nothing was heard of attempt {number} for {silence:.0f} s", None)
        return True

    def _lose(self, db: Connection, run: str, number: int, error: str, exit_code: int | None) -> None:
        """An attempt is lost: another one is made where that was asked for, else the run ends."""
        self._end_attempt(db, run, number)
        row = db.execute("SELECT attempts, when_lost, cancel FROM runs WHERE id = ?", (run,))[0]
        if row["when_lost"] == "again" and number < row["attempts"] and not row["cancel"]:
            db.execute("UPDATE runs SET state = 'queued' WHERE id = ?", (run,))
            return
        db.execute(
            "UPDATE runs SET state = 'ended', ended = ?, status = 'lost', exit_code = ?, error = ? WHERE id = ?",
            (self._clock(), 5 if exit_code is None else exit_code, error, run),
        )

    def _end_attempt(self, db: Connection, run: str, number: int) -> None:
        db.execute("UPDATE attempts SET ended = ? WHERE run = ? AND number = ?", (self._clock(), run, number))
