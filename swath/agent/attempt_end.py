"""How an attempt ended, in the words of the server: as the journal says, or the run's last words where it has nothing."""

from __future__ import annotations

from pathlib import Path

from swath.agent.output_files import output_file
from swath.agent.reported_text import few, plain
from swath.engine.journal_rows import RunRow
from swath.errors import SwathError, UsageError
from swath.protocol.messages import MAX_TEXT, End, Work

TAIL = 4000
"""Characters of the output that tell why a run could not start."""
_STATUSES = {UsageError.exit_code: "refused", 130: "interrupted", 143: "terminated"}
"""Of a run that has no row in the journal, by exit code."""


def end_of(row: RunRow | None, code: int | None, output: Path) -> End:
    """The end of a run. row: of the journal. code: its process's, as far as that is known. output: what it printed."""
    if row is None:
        text = output.read_text("utf-8", "replace")[-TAIL:].strip() if output.exists() else ""
        exit_code = 1 if code is None else 128 - code if code < 0 else code or 1
        return End(
            status=_STATUSES.get(exit_code, "failed"), exit_code=exit_code, error=text or "it could not be started"
        )
    if row.status in ("running", "crashed"):
        how = f"by signal {-code}" if code is not None and code < 0 else "without a word"
        exit_code = 128 - code if code is not None and code < 0 else 1
        return End(
            status="crashed",
            exit_code=exit_code,
            error=f"its process ended {how}",
            name=row.name,
            pipeline=row.pipeline,
        )
    return End(
        status=row.status, exit_code=row.exit_code or 0, error=plain(row.error)[:MAX_TEXT],
        outputs=few(row.outputs), files=tuple(output_file(output) for output in few(row.outputs)), name=row.name,
        pipeline=row.pipeline, summary={"seconds": (row.finished or row.started) - row.started},
    )  # fmt: skip


def is_made_again(work: Work, end: End) -> bool:
    """Whether the server makes another attempt when this one, whose machine was taken, ends without a word."""
    request = work.request
    return (
        request.when_lost == "again" and work.number < request.attempts and end.status in ("terminated", "interrupted")
    )


def end_of_failure(error: SwathError) -> End:
    """The end of an attempt whose run could not begin."""
    status = _STATUSES.get(error.exit_code, "failed")
    return End(status=status, exit_code=error.exit_code, error=plain(str(error))[:MAX_TEXT])
