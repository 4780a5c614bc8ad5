"""`pipe prune`: lists or removes old runs, and results that no other run needs."""

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
from swath.engine.prune import remove_results, remove_runs, shrink_journal
from swath.engine.prune_candidates import OldRun, PruneCandidates, PruneLimits, find_candidates
from swath.engine.store_files import StoreFiles
from swath.project.project import Project
from swath.runner.lock import unused


def prune(older_than: str, max_size: str | None, *, remove: bool, as_json: bool) -> int:
    """Print what can be removed; remove it when asked to."""
    limits = PruneLimits(
        parse_amounts.seconds(older_than, "--older-than", zero=True),
        None if max_size is None else parse_amounts.size(max_size, "--max-size"),
    )
    project = here()
    if not (project.state / "journal.sqlite").is_file():
        if as_json:
            print(json.dumps(_to_json(PruneCandidates((), 0, 0, {}, (), 0), (), 0)))
        print("nothing to prune: there are no runs here", file=sys.stderr)
        return 0
    with Journal.open(project.state) as journal:
        store = StoreFiles(project.results or str(project.state / "results"))
        found = find_candidates(journal, store, limits, time.time())
        removed: tuple[OldRun, ...] = ()
        freed = 0
        if remove:
            removed, freed = _remove(project, journal, store, found, limits)
    if as_json:
        print(json.dumps(_to_json(found, removed, freed), ensure_ascii=False, indent=2))
    else:
        for line in _lines(found):
            print(line)
    print(_summary(found, limits, removed, freed, remove=remove), file=sys.stderr)
    return 0


def _remove(
    project: Project, journal: Journal, store: StoreFiles, found: PruneCandidates, limits: PruneLimits
) -> tuple[tuple[OldRun, ...], int]:
    """Remove the candidates. Returns the runs that were removed, and the bytes that were freed."""
    exclusive = functools.partial(unused, project.state)
    before = _journal_bytes(journal)
    removed = tuple(remove_runs(journal, found.runs))
    freed = sum(run.bytes for run in removed)
    with exclusive() as free:
        # Searched again under the lock that no run can hold: a run may have taken up a result since the first search.
        again = find_candidates(journal, store, replace(limits, max_bytes=None), time.time()) if free else None
        version = journal.version()
    if again is not None and not again.open_runs:
        freed += sum(remove_results(journal, store, again, exclusive, version))
    shrink_journal(journal, exclusive)
    return removed, freed + max(0, before - _journal_bytes(journal))


def _journal_bytes(journal: Journal) -> int:
    return sum(file.stat().st_size for file in journal.folder.glob("journal.sqlite*"))


def _to_json(found: PruneCandidates, removed: tuple[OldRun, ...], freed: int) -> dict[str, object]:
    ids = {run.id for run in removed}
    return {
        "runs": [
            {"id": r.id, "status": r.status, "ended": r.ended, "bytes": r.bytes, "removed": r.id in ids}
            for r in found.runs
        ],
        "results": found.results,
        "files": len(found.files),
        "bytes": found.bytes,
        "freed_bytes": freed,
        "kept_bytes": found.kept_bytes,
        "open_runs": list(found.open_runs),
    }


def _lines(found: PruneCandidates) -> list[str]:
    if not found.runs:
        return []
    cells = [(run.id, run.status, units.local_time(run.ended), units.size(run.bytes)) for run in found.runs]
    return table(("RUN", "STATUS", "ENDED", "FOLDER"), cells, right=(3,))


def _summary(
    found: PruneCandidates, limits: PruneLimits, removed: tuple[OldRun, ...], freed: int, *, remove: bool
) -> str:
    """The numbers, in a line or two."""
    if remove:
        lines = [f"removed {len(removed)} runs and the results that only they needed: {units.size(freed)} freed"]
    elif found.runs or found.results or found.files:
        counts = f"{len(found.runs)} runs, {found.results} results, {len(found.files)} files"
        lines = [f"{counts}: about {units.size(found.bytes)}; `pipe prune --yes` removes them"]
    else:
        lines = ["no run is old enough"]
    if limits.max_bytes is not None and found.kept_bytes > limits.max_bytes:
        lines.append(f"about {units.size(found.kept_bytes)} stay: runs that are running or can be resumed need them")
    if found.open_runs and (found.results or found.files):
        verb = "has" if len(found.open_runs) == 1 else "have"
        lines.append(f"results stay until {', '.join(found.open_runs[:3])} {verb} ended")
    return "\n".join(lines)
