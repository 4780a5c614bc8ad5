"""The project of the current folder with its journal, which commands without a spec work on."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import NoSuchRun
from swath.project.project import Project

if TYPE_CHECKING:
    from swath.engine.journal import Journal
    from swath.engine.journal_rows import RunRow


def here(allow_env: Collection[str] = ()) -> Project:
    """The project of the current folder. allow_env: environment variables that it may read even if it is not trusted."""
    return Project.find(Path.cwd(), allow_env=allow_env)


def open_journal() -> Journal:
    """The journal of the current folder's project. Raises NoSuchRun when there is none: reading creates no journal."""
    from swath.engine.journal import Journal

    state = here().state
    if not (state / "journal.sqlite").is_file():
        raise NoSuchRun(f"there is no run yet in {state}", remedy="`pipe run SPEC` makes one")
    return Journal.open(state)


def find_run(journal: Journal, run: str) -> RunRow:
    """A run by its id, the start of its id, `last`, or `last~N` for the Nth before the last. Raises NoSuchRun."""
    back = re.fullmatch(r"last~(\d{1,9})", run)
    if back is None:
        return journal.find(run)
    rows = journal.runs(int(back[1]) + 1)
    if len(rows) <= int(back[1]):
        count = "is 1 run" if len(rows) == 1 else f"are {len(rows)} runs"
        raise NoSuchRun(f"there {count}, so there is no {run}", remedy="`pipe runs` lists the runs")
    return rows[-1]
