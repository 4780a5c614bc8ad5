"""The state of a project's triggers: what was due, found, started and ended, in one SQLite file of the state folder.

A firing is one run that a trigger asked for. Its key (a due instant, or what was found) is unique for its trigger, and it is written in
the same transaction as what was dealt with: a due instant and a found thing get one run each, whatever is killed when.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from swath.engine.disk import network_file_system
from swath.errors import StateError
from swath.storage.private_folder import make_private, make_private_file
from swath.triggers.firing_rules import SKIPPED, is_left_out, replaces
from swath.watch.schema import migrate

FILE = "triggers.sqlite"
LOCK_TIMEOUT_S = 10.0
"""How long an operation waits for another process that has the file locked."""
MOST_TICKS = 1000
"""Ticks of a trigger that are stored."""


@dataclass(frozen=True)
class TriggerState:
    """What is stored of a trigger between two turns."""

    name: str
    fingerprint: str
    """Of its schedule, or of what its sensor looks at: with another one it begins anew."""
    considered: float
    """Every due instant until then was dealt with."""
    looked: float | None
    """Last look; None before the first one that succeeded."""
    look_now: bool
    """Somebody wants a look at once."""
    cursor: Any
    paused: str
    """Who paused it; empty when nobody did."""
    missed: str
    """What to do, once, with what was missed during a pause; empty: what the trigger says."""


@dataclass(frozen=True)
class NewFiring:
    """A run that a trigger asks for."""

    trigger: str
    key: str
    due: float
    """Seconds since the epoch."""
    settings: Mapping[str, Any]
    """What the run needs of the trigger: spec, set, timeout, zone."""
    found: Mapping[str, Any]
    not_before: float = 0.0
    expires: float | None = None
    overlap: str = "queue"
    known: bool = False
    """It was there before the trigger: it gets no run."""


@dataclass(frozen=True)
class Firing:
    """A run that a trigger asked for, and what came of it."""

    id: int
    trigger: str
    key: str
    due: float
    not_before: float
    expires: float | None
    made: float
    settings: dict[str, Any]
    found: dict[str, Any]
    state: str
    """queued, started or ended."""
    run: str
    """Id of the run, from its start on."""
    stop: str
    """Why the run is to be stopped; empty when it is not."""
    started: float | None
    ended: float | None
    status: str
    """That of the run, or skipped, replaced, expired, refused, known."""
    text: str
    """Why, in words."""


@dataclass(frozen=True)
class Tick:
    """What came of looks or due instants, one after the other with the same outcome."""

    trigger: str
    first: float
    at: float
    """Of the last of them."""
    times: int
    outcome: str
    """fired, nothing, waiting, skipped or failed."""
    text: str


_COLUMNS = (
    "id, trigger, key, due, not_before, expires, made, settings, found, state, run, stop, started, ended, status, text"
)


class TriggerStore:
    """The file. Open with `TriggerStore.open`."""

    def __init__(self, connection: sqlite3.Connection, file: Path) -> None:
        self._db, self._file = connection, file

    @classmethod
    def open(cls, state: Path) -> TriggerStore:
        """Open the file in a state folder, or create it. Raises StateError."""
        file = state / FILE
        connection: sqlite3.Connection | None = None
        try:
            make_private(state)
            make_private_file(file)
            connection = sqlite3.connect(file, timeout=LOCK_TIMEOUT_S, isolation_level=None)
            shared = network_file_system(state)
            connection.execute(f"PRAGMA journal_mode = {'DELETE' if shared else 'WAL'}")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection, file)
        except (OSError, sqlite3.Error) as error:
            if connection is not None:
                connection.close()
            raise StateError(
                f"{file} cannot be opened: {error}", remedy="set SWATH_HOME to a folder that you can write"
            ) from error
        except StateError:
            if connection is not None:
                connection.close()
            raise
        return cls(connection, file)

    def __enter__(self) -> TriggerStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together, or not at all. Within another one it is a part of that."""
        if self._db.in_transaction:
            yield
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StateError(f"{self._file}: {error}", remedy="free disk space, or end what has it locked") from error

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StateError(f"{self._file}: {error}", remedy="end what has it locked") from error

    def _do(self, sql: str, values: Sequence[Any] = ()) -> int:
        try:
            return self._db.execute(sql, values).rowcount
        except sqlite3.Error as error:
            raise StateError(f"{self._file}: {error}", remedy="free disk space, or end what has it locked") from error

    # --- triggers

    def states(self) -> dict[str, TriggerState]:
        """The stored state of each trigger by name."""
        rows = self._all("SELECT name, fingerprint, considered, looked, look_now, cursor, paused, missed FROM triggers")
        found = ((*row[:4], bool(row[4]), json.loads(row[5]), *row[6:]) for row in rows)
        return {values[0]: TriggerState(*values) for values in found}

    def begin(self, name: str, fingerprint: str, now: float) -> None:
        """Store a trigger that is new, or another than it was: nothing before now counts, and its sensor has not looked."""
        self._do(
            "INSERT INTO triggers (name, fingerprint, considered) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
            " fingerprint = excluded.fingerprint, considered = excluded.considered, looked = NULL, cursor = 'null', missed = ''",
            (name, fingerprint, now),
        )

    def pause(self, name: str, by: str) -> bool:
        """Pause a trigger. Returns whether it was not paused before."""
        return self._do("UPDATE triggers SET paused = ? WHERE name = ? AND paused = ''", (by, name)) > 0

    def resume(self, name: str, now: float, missed: str) -> bool:
        """Let a paused trigger go on: from now, or with what was missed (last, all). Returns whether it was paused."""
        considered = "considered" if missed in ("last", "all") else "?"
        values = (missed, name) if missed in ("last", "all") else (now, "", name)
        sql = f"UPDATE triggers SET paused = '', considered = {considered}, missed = ? WHERE name = ? AND paused <> ''"
        return self._do(sql, values) > 0

    def want_look(self, name: str) -> None:
        """Have a sensor look at once."""
        self._do("UPDATE triggers SET look_now = 1 WHERE name = ?", (name,))

    def consider(self, name: str, considered: float) -> None:
        """Everything until then was dealt with. Belongs into the transaction that adds the firings."""
        self._do("UPDATE triggers SET considered = ?, missed = '' WHERE name = ?", (considered, name))

    def end_look(self, name: str, at: float, cursor: Any) -> None:
        """A look has succeeded. Belongs into the transaction that adds the firings."""
        self._do(
            "UPDATE triggers SET looked = ?, look_now = 0, cursor = ? WHERE name = ?", (at, json.dumps(cursor), name)
        )

    def end_wish(self, name: str) -> None:
        """A look that somebody wanted at once was begun."""
        self._do("UPDATE triggers SET look_now = 0 WHERE name = ?", (name,))

    # --- firings

    def fire(self, new: NewFiring, now: float) -> str:
        """Add a firing unless there is one of its key: then an empty text is returned. Else what came of it: queued, skipped, known."""
        waiting = self._all("SELECT id, state FROM firings WHERE trigger = ? AND state <> 'ended'", (new.trigger,))
        outcome, text = ("known", "") if new.known else ("queued", "")
        if outcome == "queued" and is_left_out(new.overlap, waiting):
            outcome, text = "skipped", SKIPPED
        added = self._do(
            "INSERT OR IGNORE INTO firings (trigger, key, due, not_before, expires, made, settings, found, state, status, text, ended)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.trigger, new.key, new.due, new.not_before or new.due, new.expires, now, json.dumps(dict(new.settings)),
                json.dumps(dict(new.found)), *(("queued", "", "", None) if outcome == "queued" else ("ended", outcome, text, now)),
            ),
        )  # fmt: skip
        if not added:
            return ""
        if outcome == "queued" and replaces(new.overlap):
            for number, state in waiting:
                if state == "queued":
                    self.end(number, "replaced", f"by {new.key}", now)
                else:
                    self._do(
                        "UPDATE firings SET stop = ? WHERE id = ? AND stop = ''", (f"replaced by {new.key}", number)
                    )
        return outcome

    def open_firings(self) -> list[Firing]:
        """What is queued or started, oldest first."""
        rows = self._all(f"SELECT {_COLUMNS} FROM firings WHERE state <> 'ended' ORDER BY not_before, id")
        return [_firing(row) for row in rows]

    def pending(self, trigger: str) -> int:
        """Number of runs of a trigger that have not ended."""
        found: int = self._all("SELECT count(*) FROM firings WHERE trigger = ? AND state <> 'ended'", (trigger,))[0][0]
        return found

    def find(self, trigger: str, key: str) -> Firing | None:
        """The firing of a key."""
        rows = self._all(f"SELECT {_COLUMNS} FROM firings WHERE trigger = ? AND key = ?", (trigger, key))
        return _firing(rows[0]) if rows else None

    def firings(self, trigger: str | None = None, limit: int = 50) -> list[Firing]:
        """The newest firings, of one trigger or of all; not what was there before the trigger."""
        rows = self._all(
            f"SELECT {_COLUMNS} FROM firings WHERE (? IS NULL OR trigger = ?) AND status <> 'known' ORDER BY id DESC LIMIT ?",
            (trigger, trigger, limit),
        )
        return [_firing(row) for row in rows]

    def previous(self, trigger: str, before: int, *, done: bool) -> Firing | None:
        """The firing of a trigger before another one: the last one, or the last one whose run is done."""
        rows = self._all(
            f"SELECT {_COLUMNS} FROM firings WHERE trigger = ? AND id < ? AND status <> 'known' AND (status = 'done' OR NOT ?)"
            " ORDER BY id DESC LIMIT 1",
            (trigger, before, done),
        )
        return _firing(rows[0]) if rows else None

    def start(self, firing: int, run: str, now: float) -> None:
        """A run is about to be started. It is stored before its process is there."""
        self._do("UPDATE firings SET state = 'started', run = ?, started = ? WHERE id = ?", (run, now, firing))

    def end(self, firing: int, status: str, text: str, now: float) -> None:
        """A firing has ended."""
        self._do(
            "UPDATE firings SET state = 'ended', status = ?, text = ?, ended = ? WHERE id = ? AND state <> 'ended'",
            (status, text[:2000], now, firing),
        )

    # --- ticks

    def tick(self, trigger: str, outcome: str, text: str, now: float) -> None:
        """Store what came of a look or a due instant; the same again is counted."""
        text = text[:2000]
        last = self._all("SELECT id, outcome, text FROM ticks WHERE trigger = ? ORDER BY id DESC LIMIT 1", (trigger,))
        if last and outcome != "fired" and last[0][1:] == (outcome, text):
            self._do("UPDATE ticks SET at = ?, times = times + 1 WHERE id = ?", (now, last[0][0]))
            return
        self._do(
            "INSERT INTO ticks (trigger, first, at, times, outcome, text) VALUES (?, ?, ?, 1, ?, ?)",
            (trigger, now, now, outcome, text),
        )
        self._do(
            "DELETE FROM ticks WHERE trigger = ? AND id <= (SELECT id FROM ticks WHERE trigger = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (trigger, trigger, MOST_TICKS),
        )

    def ticks(self, trigger: str, limit: int = 20) -> list[Tick]:
        """The newest ticks of a trigger."""
        rows = self._all(
            "SELECT trigger, first, at, times, outcome, text FROM ticks WHERE trigger = ? ORDER BY id DESC LIMIT ?",
            (trigger, limit),
        )
        return [Tick(*row) for row in rows]


def _firing(row: tuple[Any, ...]) -> Firing:
    values: Any = (*row[:7], json.loads(row[7]), json.loads(row[8]), *row[9:])
    return Firing(*values)
