"""Runs as they are shown: one, pages of them, and their log lines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence

from swath.protocol.messages import AgentInfo, Line, LinePage, RunFile, RunInfo, RunPage, RunRequest
from swath.protocol.sources import accepts
from swath.server.agents import ALIVE_S
from swath.server.database.database import Database, Row
from swath.server.labels import without_launchers
from swath.server.refusals import NotFound, Refusal

MOST_RUNS = 200
MOST_LINES = 5000
SILENT_S = 20.0
"""A run whose supervisor was not heard of for so long is shown as silent."""
_COLUMNS = (
    "runs.id, projects.name AS project, runs.name, pipeline, state, status, exit_code, error, runs.labels, priority, limit_key,"
    " attempt, attempts, requested_by, cancel, queued, runs.started, runs.ended, outputs, files, summary,"
    " coalesce(agents.name, '') AS agent, tries.beat, commit_hash, projects.source"
)
_FROM = (
    "FROM runs JOIN projects ON projects.id = runs.project LEFT JOIN attempts AS tries ON tries.run = runs.id AND"
    " tries.number = runs.attempt LEFT JOIN agents ON agents.id = tries.agent"
)


class Runs:
    """Reads runs of the server's database. `projects` are always those that the reader may know of; None for all."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def get(self, run: str, projects: Collection[str] | None, agents: Sequence[AgentInfo] | None = None) -> RunInfo:
        """One run. agents: all that there are, to say what a queued run waits for. Raises NotFound."""
        with self._database.reading() as db:
            rows = db.execute(f"SELECT {_COLUMNS} {_FROM} WHERE runs.id = ?", (run,))
        if not rows or (projects is not None and rows[0]["project"] not in projects):
            raise NotFound(f"there is no run {run}")
        info = self._info(rows[0])
        if info.state == "queued" and agents is not None:
            return info.model_copy(update={"waits_for": waits_for(info, agents)})
        return info

    def page(
        self,
        projects: Collection[str] | None,
        *,
        state: str | None = None,
        status: str | None = None,
        pipeline: str | None = None,
        requested_by: str | None = None,
        failed: bool = False,
        find: str = "",
        cursor: str | None = None,
        limit: int = 50,
    ) -> RunPage:
        """A page of runs, newest first. failed: those that ended otherwise than done. find: part of an id or a name.
        cursor: `next` of the page before. Raises Refusal for a cursor that is none."""
        where: list[str] = ["1 = 1"]
        values: list[str | float] = []
        if projects is not None:
            where.append(f"projects.name IN ({', '.join('?' * len(projects)) or 'NULL'})")
            values += sorted(projects)
        equal = (("state", state), ("status", status), ("pipeline", pipeline), ("requested_by", requested_by))
        for column, value in equal:
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if failed:
            where.append("state = 'ended' AND status <> 'done'")
        if find:
            contains = self._database.contains
            where.append(f"(runs.id {contains} OR runs.name {contains})")
            values += [containing(find)] * 2
        if cursor is not None:
            queued, _, run = cursor.partition("/")
            try:
                values += [float(queued), float(queued), run]
            except ValueError:
                raise Refusal(f"{cursor!r} is no cursor of a page of runs") from None
            where.append("(queued < ? OR (queued = ? AND runs.id < ?))")
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} {_FROM} WHERE {' AND '.join(where)} ORDER BY queued DESC, runs.id DESC LIMIT ?",
                (*values, min(limit, MOST_RUNS) + 1),
            )
        more = len(rows) > min(limit, MOST_RUNS)
        rows = rows[: min(limit, MOST_RUNS)]
        following = f"{rows[-1]['queued']!r}/{rows[-1]['id']}" if more else None
        return RunPage(runs=tuple(self._info(row) for row in rows), next=following)

    def request(self, run: str, projects: Collection[str] | None) -> RunRequest:
        """What was asked for. Raises NotFound."""
        self.get(run, projects)
        with self._database.reading() as db:
            text = db.execute("SELECT request FROM runs WHERE id = ?", (run,))[0]["request"]
        return RunRequest.model_validate_json(text)

    def lines(self, run: str, *, after: int = 0, level: str | None = None, limit: int = 1000) -> LinePage:
        """Log lines of a run after one of them, at least of one level."""
        levels = ("debug", "info", "warning", "error")
        wanted = levels[levels.index(level) :] if level else levels
        with self._database.reading() as db:
            state = db.execute("SELECT state, next_line FROM runs WHERE id = ?", (run,))[0]
            rows = db.execute(
                "SELECT id, time, level, node, item, worker, text FROM lines WHERE run = ? AND id > ?"
                f" AND level IN ({', '.join('?' * len(wanted))}) ORDER BY id LIMIT ?",
                (run, after, *wanted, min(limit, MOST_LINES)),
            )
        lines = tuple(Line(**row) for row in rows)
        whole = len(lines) < min(limit, MOST_LINES)
        following = max(state["next_line"] - 1, lines[-1].id if lines else 0) if whole else lines[-1].id
        return LinePage(lines=lines, next=max(after, following), ended=whole and state["state"] == "ended")

    def _info(self, row: Row) -> RunInfo:
        silent = self._clock() - row["beat"] if row["state"] == "running" and row["beat"] is not None else 0.0
        labels, launchers = without_launchers(row["labels"])
        fields = {name: row[name] for name in RunInfo.model_fields if name in row}
        return RunInfo(
            **fields
            | {
                "labels": labels,
                "runs_on": "".join(launchers),
                "limit_key": row["limit_key"] or None,
                "outputs": tuple(json.loads(row["outputs"])),
                "files": tuple(RunFile(**file) for file in json.loads(row["files"])),
                "summary": json.loads(row["summary"]),
                "commit": row["commit_hash"],
                "repository": json.loads(row["source"]).get("git", ""),
                "silent_s": silent if silent > SILENT_S else 0.0,
            }
        )


def containing(text: str) -> str:
    """The pattern of texts that contain a text, for the condition `contains` of a database."""
    return f"%{text.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"


def waits_for(run: RunInfo, agents: Sequence[AgentInfo]) -> str:
    """Why a queued run is not claimed, as far as the agents tell; empty when one of them should claim it at once."""
    alive = [agent for agent in agents if agent.seen_s < ALIVE_S and agent.project in (None, run.project)]
    trusting = [agent for agent in alive if not run.repository or accepts(agent.accepts, run.repository)]
    having = [agent for agent in trusting if not run.runs_on or run.runs_on in agent.launchers]
    fit = [agent for agent in having if set(run.labels) <= set(agent.labels)]
    if not alive:
        others = any(agent.seen_s < ALIVE_S for agent in agents)
        which = f" that takes runs of {run.project}" if others else ""
        return f"no agent{which} is connected: `pipe agent` starts one"
    if not trusting:
        return f"no connected agent accepts {run.repository}: `pipe agent --accept {run.repository}`"
    if not having:
        return f"no connected agent has a launcher {run.runs_on}"
    if not fit:
        return f"no connected agent has the labels {', '.join(run.labels)}"
    if all(agent.paused for agent in fit):
        return f"paused: {', '.join(agent.name for agent in fit)}"
    if all(agent.paused or agent.busy >= agent.slots for agent in fit):
        return "every agent that may take it is busy"
    if run.limit_key:
        return f"the limit of {run.limit_key} may be reached"
    return ""
