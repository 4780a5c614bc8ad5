"""The journal: runs, nodes, calls, results, log lines and leases in one SQLite file, written while a run goes on.

A resumed run executes no call again whose result is committed here. The engine's thread is the only writer of a run; any number
of other processes may read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from swath.engine.disk import check_free_space, network_file_system
from swath.engine.journal_errors import damaged_row, state_error, translated_errors
from swath.engine.journal_rows import (
    CALL_COLUMNS,
    RUN_COLUMNS,
    CallRow,
    CancelRequest,
    LeaseRow,
    LogRow,
    NodeRow,
    RunRow,
    call_row,
    fits,
    result_checksum,
    run_row,
)
from swath.engine.journal_schema import migrate
from swath.engine.stored_result import StoredResult
from swath.errors import NoSuchRun, StateError
from swath.storage.private_folder import make_private, make_private_file
from swath.storage.state_owner import mark_as_own

_KEYS_PER_QUERY = 500
"""Keys of results that one statement asks for."""
LOCK_TIMEOUT_S = 10.0
"""How long an operation waits for another process that has the journal locked."""


class Journal:
    """The journal of one state folder. Open with `Journal.open`."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, network_fs: str = "") -> None:
        self._db = connection
        self.folder = folder
        """The state folder."""
        self.network_fs = network_fs
        """The kind of network file system that it is on; empty when it is on a disk of this machine."""

    @classmethod
    def open(cls, folder: Path, *, lock_timeout_s: float = LOCK_TIMEOUT_S, mounts: Path | None = None) -> Journal:
        """Open the journal in a state folder, or create it. Raises StateError when it is locked, full, unreadable or newer.

        lock_timeout_s: how long every later operation waits for another process that has the journal locked.
        mounts: see swath.engine.disk.network_file_system.
        """
        file = folder / "journal.sqlite"
        with translated_errors(file):
            try:
                make_private(folder)
                new = not file.exists()
                with contextlib.suppress(OSError):  # SQLite reports it
                    make_private_file(file)
                if new:
                    mark_as_own(folder)
            except OSError as error:
                raise StateError(
                    f"the state folder cannot be made: {error}", remedy="set SWATH_HOME to a folder that you can write"
                ) from error
            network_fs = network_file_system(folder, mounts)
            connection = sqlite3.connect(file, timeout=lock_timeout_s, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file: pruning can make it smaller
                # https://sqlite.org/wal.html: all processes that use a WAL must be on the same host.
                connection.execute(f"PRAGMA journal_mode = {'DELETE' if network_fs else 'WAL'}")
                connection.execute(f"PRAGMA synchronous = {'FULL' if network_fs else 'NORMAL'}")
                connection.execute("PRAGMA cache_size = -65536")  # 64 MB: keys are random, a million calls stay quick
                connection.execute("PRAGMA wal_autocheckpoint = 8000")
                migrate(connection, file)
            except BaseException:
                connection.close()
                raise
        return cls(connection, folder, network_fs)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together, or not at all."""
        with translated_errors(self.folder / "journal.sqlite"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._db.execute("ROLLBACK")
                raise

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run one statement. Public for what works on the journal as a whole, such as pruning."""
        try:
            return self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise state_error(error, self.folder / "journal.sqlite") from error

    def version(self) -> int:
        """A number that changes whenever another process writes."""
        found: int = self.execute("PRAGMA data_version").fetchone()[0]
        return found

    def _execute_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with contextlib.nullcontext() if self._db.in_transaction else self.transaction():
            self._db.executemany(sql, rows)

    # --- runs

    def start_run(self, row: RunRow) -> None:
        """Add a run. Raises StateError when there is one with its id, and when the disk is full."""
        check_free_space(self.folder)
        added = self.execute(
            "INSERT OR IGNORE INTO runs (id, pipeline, name, spec_path, spec_text, overrides, cluster, root, status, started,"
            " host, pid, process_started, pid_space, git, heartbeat, fresh)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.id, row.pipeline, row.name, row.spec_path, row.spec_text, json.dumps(row.overrides), row.cluster, row.root,
                row.started, row.host, row.pid, row.process_started, row.pid_space, json.dumps(row.git), time.time(), row.fresh,
            ),
        )  # fmt: skip
        if not added.rowcount:
            raise StateError(f"there is a run {row.id} already", remedy=f"go on with: pipe resume {row.id}")

    def resume_run(self, row: RunRow) -> None:
        """Start a run again under its id, by the process of `row`. Raises StateError when it is not there or is running."""
        check_free_space(self.folder)
        with self.transaction():
            before = self.find(row.id)
            if before.status == "running":
                raise StateError(f"{row.id} is running", remedy=f"`pipe runs show {row.id}` shows it")
            self.execute(
                "UPDATE runs SET status = 'running', finished = NULL, exit_code = NULL, error = '', cancel = '', host = ?,"
                " pid = ?, process_started = ?, pid_space = ?, git = ?, heartbeat = ?, paused_s = ? WHERE id = ?",
                (
                    row.host, row.pid, row.process_started, row.pid_space, json.dumps(row.git), time.time(),
                    before.paused_until(time.time()), row.id,
                ),
            )  # fmt: skip

    def request_cancel(self, run: str, request: CancelRequest) -> None:
        """Ask a running run to stop; its process reads this with its next heartbeat. A request that is there already stays."""
        self.execute(
            "UPDATE runs SET cancel = ? WHERE id = ? AND status = 'running' AND cancel = ''",
            (json.dumps(dataclasses.asdict(request)), run),
        )

    def cancel_request(self, run: str) -> CancelRequest | None:
        """The request to stop a run; None if there is none."""
        row = self.execute("SELECT cancel FROM runs WHERE id = ?", (run,)).fetchone()
        return CancelRequest(**json.loads(row[0])) if row is not None and row[0] else None

    def finish_run(
        self,
        run: str,
        status: str,
        exit_code: int,
        error: str,
        outputs: list[str],
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write how a run ended. `facts` must be JSON values; None leaves those of an earlier session of the run."""
        self.execute(
            "UPDATE runs SET status = ?, exit_code = ?, error = ?, outputs = ?, finished = ?, facts = coalesce(?, facts)"
            " WHERE id = ?",
            (
                status, exit_code, error, json.dumps(outputs), time.time(),
                None if facts is None else json.dumps(dict(facts)), run,
            ),
        )  # fmt: skip

    def runs(self, limit: int | None = None) -> list[RunRow]:
        """Runs, newest first."""
        rows = self.execute(
            f"SELECT {RUN_COLUMNS} FROM runs ORDER BY started DESC, id DESC LIMIT ?", (-1 if limit is None else limit,)
        )
        return [run_row(row) for row in rows]

    def find(self, run: str) -> RunRow:
        """The run with this id, the only one whose id begins so, or the newest for `last`. Raises NoSuchRun with similar ids."""
        if run == "last":
            newest = self.runs(1)
            if newest:
                return newest[0]
            raise NoSuchRun("there is no run yet", remedy="`pipe run SPEC` makes one")
        rows = self.execute(
            f"SELECT {RUN_COLUMNS} FROM runs WHERE substr(id, 1, ?) = ? ORDER BY id", (len(run), run)
        ).fetchall()
        exact = [row for row in rows if row[0] == run]
        if exact or len(rows) == 1:
            return run_row((exact or rows)[0])
        if rows:
            raise NoSuchRun(f"{run!r} could be {', '.join(row[0] for row in rows[:5])}", remedy="write more of the id")
        ids = [row[0] for row in self.execute("SELECT id FROM runs ORDER BY started DESC")]
        close = difflib.get_close_matches(run, ids, 3, 0.4)
        guess = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise NoSuchRun(f"there is no run {run!r} in {self.folder}{guess}", remedy="`pipe runs` lists the runs")

    def write_heartbeat(self, run: str) -> None:
        """Record that the run's process is alive now."""
        self.execute("UPDATE runs SET heartbeat = ? WHERE id = ?", (time.time(), run))

    # --- nodes, calls and results

    def write_nodes(self, run: str, nodes: Iterable[NodeRow]) -> None:
        """Write the newest state of nodes."""
        self._execute_many(
            "INSERT OR REPLACE INTO nodes (run, node, code, version, shared, state) VALUES (?, ?, ?, ?, ?, ?)",
            ((run, *node) for node in nodes),
        )

    def write_calls(self, run: str, calls: Iterable[CallRow]) -> None:
        """Write the newest state of calls."""
        self._execute_many(
            "INSERT OR REPLACE INTO calls (run, node, item, key, state, attempt, worker, finished, seconds, error, traceback,"
            " cpu_s, memory) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(run, call[0], -1 if call[1] is None else call[1], *call[2:]) for call in calls],
        )

    def delete_calls(self, run: str, ranges: Iterable[tuple[str, int, int]]) -> None:
        """Delete the calls of each (node, first item, last item)."""
        self._execute_many(
            "DELETE FROM calls WHERE run = ? AND node = ? AND item BETWEEN ? AND ?", [(run, *which) for which in ranges]
        )

    def write_results(self, run: str, results: Iterable[tuple[str, StoredResult]]) -> None:
        """Write the results of finished calls, by key."""
        now = time.time()
        self._execute_many(
            "INSERT OR REPLACE INTO results (key, digest, size, data, made, run, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(key, *stored, now, run, result_checksum(key, stored.digest, stored.size)) for key, stored in results],
        )

    def results(
        self, keys: Sequence[str], run: str | None = None, *, skip_damaged: bool = False
    ) -> dict[str, StoredResult]:
        """The results of finished calls with these keys, of any run, or of that run alone; keys without a result are left out.

        skip_damaged: also those whose row is not as it was written; else such a row raises DamagedResult.
        """
        found: dict[str, StoredResult] = {}
        for begin in range(0, len(keys), _KEYS_PER_QUERY):
            some = tuple(keys[begin : begin + _KEYS_PER_QUERY])
            marks = ", ".join("?" * len(some))
            for row in self.execute(
                f"SELECT key, checksum, digest, size, data FROM results WHERE key IN ({marks}) AND (? IS NULL OR run = ?)",
                (*some, run, run),
            ):
                if fits(*row[:4]):
                    found[row[0]] = StoredResult(*row[2:])
                elif not skip_damaged:
                    raise damaged_row(row[0])
        return found

    def results_of(self, run: str, node: str) -> Iterator[StoredResult]:
        """The results of a node's finished calls in the order of its items, one at a time. Raises DamagedResult for a row that is not
        as it was written."""
        for row in self.execute(
            "SELECT key, results.checksum, results.digest, results.size, results.data FROM calls JOIN results USING (key)"
            " WHERE calls.run = ? AND calls.node = ? AND calls.state IN ('done', 'reused', 'step') ORDER BY calls.item",
            (run, node),
        ):
            if not fits(*row[:4]):
                raise damaged_row(row[0])
            yield StoredResult(*row[2:])

    def digests(self, run: str) -> Iterator[tuple[str, int | None, str]]:
        """(node, item, digest of the result) of a run's finished calls, by node and item."""
        for node, item, digest in self.execute(
            "SELECT calls.node, calls.item, results.digest FROM calls JOIN results USING (key)"
            " WHERE calls.run = ? AND calls.state IN ('done', 'reused') ORDER BY calls.node, calls.item",
            (run,),
        ):
            yield node, None if item < 0 else item, digest

    def nodes(self, run: str) -> list[NodeRow]:
        """The nodes of a run by name."""
        rows = self.execute("SELECT node, code, version, shared, state FROM nodes WHERE run = ? ORDER BY node", (run,))
        return [NodeRow(*row) for row in rows]

    def calls(self, run: str) -> Iterator[CallRow]:
        """The calls of a run by node and item, one at a time."""
        for row in self.execute(f"SELECT {CALL_COLUMNS} FROM calls WHERE run = ? ORDER BY node, item", (run,)):
            yield call_row(row)

    def failures(self, run: str, node: str | None = None) -> list[CallRow]:
        """The calls of a run, or of one node of it, that failed for good."""
        rows = self.execute(
            f"SELECT {CALL_COLUMNS} FROM calls WHERE run = ? AND state = 'failed' AND (? IS NULL OR node = ?) ORDER BY node, item",
            (run, node, node),
        )
        return [call_row(row) for row in rows]

    def counts(self, run: str) -> dict[str, int]:
        """Number of calls of a run by state."""
        return dict(self.execute("SELECT state, COUNT(*) FROM calls WHERE run = ? GROUP BY state", (run,)).fetchall())

    def totals(self, run: str) -> list[tuple[str, str, int, float]]:
        """(node, state, number of calls, their seconds) of a run, in the order in which a call of each first ended."""
        rows = self.execute(
            "SELECT node, state, count(*), coalesce(sum(seconds), 0) FROM calls WHERE run = ? GROUP BY node, state"
            " ORDER BY min(finished)",
            (run,),
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    # --- log lines

    def write_logs(self, run: str, lines: Iterable[tuple[float, str, str, str, int | None, str]]) -> None:
        """Lines as (time, level, text, node, item, worker)."""
        self._execute_many(
            "INSERT INTO logs (run, time, level, text, node, item, worker) VALUES (?, ?, ?, ?, ?, ?, ?)",
            ((run, *line) for line in lines),
        )

    def write_log(
        self, run: str, at: float, level: str, text: str, node: str = "", item: int | None = None, worker: str = ""
    ) -> None:
        """One line."""
        self.write_logs(run, [(at, level, text, node, item, worker)])

    def logs(
        self, run: str, node: str | None = None, level: str | None = None, *, after: int = 0, failed: bool = False
    ) -> list[LogRow]:
        """Lines of a run in the order in which they came: of one node, at least of one level, after the line with an id,
        of calls that failed."""
        levels = ("debug", "info", "warning", "error")
        wanted = levels[levels.index(level) :] if level else levels
        rows = self.execute(
            "SELECT id, time, level, text, node, item, worker FROM logs WHERE run = ? AND id > ? AND (? IS NULL OR node = ?)"
            f" AND level IN ({', '.join('?' * len(wanted))}) AND (NOT ? OR EXISTS (SELECT 1 FROM calls WHERE"
            " calls.run = logs.run AND calls.node = logs.node AND calls.item = coalesce(logs.item, -1)"
            " AND calls.state = 'failed')) ORDER BY id",
            (run, after, node, node, *wanted, failed),
        )
        return [LogRow(*row) for row in rows]

    def logs_from(self, run: str, first: int, limit: int, after: int | None = None) -> list[LogRow]:
        """Lines of a run in the order in which they came, without the first so many. after: the id of the last of those, where it is
        known: then they need not be counted."""
        rows = self.execute(
            "SELECT id, time, level, text, node, item, worker FROM logs WHERE run = ? AND id > ? ORDER BY id LIMIT ? OFFSET ?",
            (run, after or 0, limit, 0 if after is not None else first),
        )
        return [LogRow(*row) for row in rows]

    def log_count(self, run: str) -> int:
        """Number of lines of a run."""
        found: int = self.execute("SELECT count(*) FROM logs WHERE run = ?", (run,)).fetchone()[0]
        return found

    # --- leases

    def write_lease(self, run: str, kind: str, name: str) -> None:
        """Record what is about to be created, so that it can be found after a crash."""
        self.execute(
            "INSERT OR REPLACE INTO leases (id, run, kind, made) VALUES (?, ?, ?, ?)", (name, run, kind, time.time())
        )

    def end_lease(self, name: str) -> None:
        """Delete a lease: what it names is confirmed to be gone."""
        self.execute("DELETE FROM leases WHERE id = ?", (name,))

    def leases(self) -> list[LeaseRow]:
        """What runs may have left behind, oldest first."""
        return [LeaseRow(*row) for row in self.execute("SELECT id, run, kind, made FROM leases ORDER BY made, id")]
