"""The `pipe` command: parse, call swath, print, exit code. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the process's own when not given. Returns the exit code."""
    try:
        from swath.cli import process_end

        end = process_end.ProcessEnd.of_command() if argv is None else None
        from swath.cli.exit import run_command

        code = run_command(argv)
        if end is not None:
            end.code = code
        return code
    except KeyboardInterrupt:
        return 130
