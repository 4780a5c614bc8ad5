"""`pipe prune`: old runs and the results that no other run needs, listed or removed."""

from __future__ import annotations

import functools
import json
import sys
import time
from dataclasses import replace

from swath import units
from swath.cli import parse_amounts
from swath.cli.context import here
from swath.cli.render.columns import table
from swath.engine.journal import Journal
from swath.engine.prune import (
    OldRun,
    PruneCandidates,
    PruneLimits,
    find_candidates,
    remove_results,
    remove_runs,
    shrink_journal,
)
from swath.engine.store_files import StoreFiles
from swath.project.project import Project
from swath.runner.lock import unused


def prune(older_than: str, max_size: str | None, *, remove: bool, as_json: bool) -> int:
    """Print what is old; remove it when asked to."""
    limits = PruneLimits(
        parse_amounts.seconds(older_than, "--older-than"),
        None if max_size is None else parse_amounts.size(max_size, "--max-size"),
    )
    project = here()
    if not (project.state / "journal.sqlite").is_file():
        if as_json:
            print(json.dumps(_plain(PruneCandidates((), 0, 0, {}, (), 0), (), 0)))
        print("nothing to prune: there are no runs here", file=sys.stderr)
        return 0
    with Journal.open(project.state) as journal:
        store = StoreFiles(project.results or str(project.state / "results"))
        surplus = find_candidates(journal, store, limits, time.time())
        gone: tuple[OldRun, ...] = ()
        freed = 0
        if remove:
            gone, freed = _remove(project, journal, store, surplus, limits)
    if as_json:
        print(json.dumps(_plain(surplus, gone, freed), ensure_ascii=False, indent=2))
    else:
        for line in _lines(surplus):
            print(line)
    print(_end(surplus, limits, gone, freed, removed=remove), file=sys.stderr)
    return 0


def _remove(
    project: Project, journal: Journal, store: StoreFiles, surplus: PruneCandidates, limits: PruneLimits
) -> tuple[tuple[OldRun, ...], int]:
    """Remove it all. Gives the runs that are gone, and the bytes that are free again."""
    alone = functools.partial(unused, project.state)
    before = _journal_bytes(journal)
    gone = tuple(remove_runs(journal, surplus.runs))
    freed = sum(run.bytes for run in gone)
    with alone() as free:
        # Looked at once more where no run can come in between: what was listed may have been taken up since.
        again = find_candidates(journal, store, replace(limits, max_bytes=None), time.time()) if free else None
        version = journal.version()
    if again is not None and not again.open_runs:
        freed += sum(remove_results(journal, store, again, alone, version))
    shrink_journal(journal, alone)
    return gone, freed + max(0, before - _journal_bytes(journal))


def _journal_bytes(journal: Journal) -> int:
    return sum(file.stat().st_size for file in journal.folder.glob("journal.sqlite*"))


def _plain(surplus: PruneCandidates, gone: tuple[OldRun, ...], freed: int) -> dict[str, object]:
    removed = {run.id for run in gone}
    return {
        "runs": [
            {"id": r.id, "status": r.status, "ended": r.ended, "bytes": r.bytes, "removed": r.id in removed}
            for r in surplus.runs
        ],
        "results": surplus.results,
        "files": len(surplus.files),
        "bytes": surplus.bytes,
        "freed_bytes": freed,
        "kept_bytes": surplus.kept_bytes,
        "open_runs": list(surplus.open_runs),
    }


def _lines(surplus: PruneCandidates) -> list[str]:
    if not surplus.runs:
        return []
    cells = [(run.id, run.status, units.local_time(run.ended), units.size(run.bytes)) for run in surplus.runs]
    return table(("RUN", "STATUS", "ENDED", "FOLDER"), cells, right=(3,))


def _end(surplus: PruneCandidates, limits: PruneLimits, gone: tuple[OldRun, ...], freed: int, *, removed: bool) -> str:
    """What it comes to, in a line or two."""
    counts = f"{len(surplus.runs)} runs, {surplus.results} results, {len(surplus.files)} files: about {units.size(surplus.bytes)}"
    if surplus.open_runs and (surplus.results or surplus.files):
        wait = f"results stay until {', '.join(surplus.open_runs[:3])} {'has' if len(surplus.open_runs) == 1 else 'have'} ended"
    else:
        wait = ""
    if removed:
        text = f"removed {len(gone)} runs and what only they needed: {units.size(freed)} are free again"
    elif surplus.runs or surplus.results or surplus.files:
        text = f"{counts}; `pipe prune --yes` removes them"
    else:
        text = "nothing is old"
    if limits.max_bytes is not None and surplus.kept_bytes > limits.max_bytes:
        text += f"\nabout {units.size(surplus.kept_bytes)} are left: runs that go on, or that can be resumed, need them"
    return f"{text}\n{wait}" if wait else text
