"""Exit of a command: how errors are printed, and the exit code of the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swath.cli import streams

if TYPE_CHECKING:
    from swath.errors import SwathError


def run_command(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. Errors are printed, never raised."""
    streams.protect()
    # pydantic would search the metadata of every installed package for plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    words = list(sys.argv[1:] if argv is None else argv)
    debug = bool(os.environ.get("SWATH_DEBUG")) or "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = _invoke(words, debug)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.stdout.flush()
    sys.stderr.flush()
    out = sys.stdout
    if isinstance(out, streams.Stream) and out.failed:
        print(f"error: the output could not be written: {out.error}", file=sys.stderr)
        code = code or 1
    return code


def _invoke(words: list[str], debug: bool) -> int:
    from swath.errors import SwathError

    try:
        if words in (["list"], ["list", "--json"]):
            # Importing typer, and pydantic for its options, takes longer than the whole answer.
            from swath.cli.commands.list import list_pipelines

            return list_pipelines(as_json="--json" in words)
        from swath.cli.app import run

        return run(words)
    except SwathError as error:
        if debug:
            _print_traceback()
        print_error(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a fault in swath or in a pipeline: one line is printed, the traceback goes to a file
        if debug:
            _print_traceback()
        _print_unexpected(error, debug)
        return 1


def print_error(error: SwathError) -> None:
    """Print an error and its remedy on stderr; of a spec, every mistake on a line of its own."""
    from swath.cli.render.terminal_text import shortened
    from swath.errors import SpecError

    if isinstance(error, SpecError):
        print(shortened(error.message), file=sys.stderr)
        count = len(error.mistakes)
        print(
            f"error: {count} {'mistake' if count == 1 else 'mistakes'} in the spec; nothing was started",
            file=sys.stderr,
        )
        return
    print(f"error: {shortened(error.message)}", file=sys.stderr)
    if error.remedy:
        print(f"  {error.remedy}", file=sys.stderr)


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def _print_unexpected(error: Exception, debug: bool) -> None:
    text = str(error).strip()
    where = "" if debug else _save_traceback()
    print(f"error: unexpected {type(error).__name__}{': ' if text else ''}{text}", file=sys.stderr)
    if where:
        print(f"  the traceback is in {where}; --debug shows it here", file=sys.stderr)
    elif not debug:
        print("  --debug shows the traceback", file=sys.stderr)


def _save_traceback() -> str:
    """Append the traceback to errors.log in the state folder. Returns the file's path; empty when it cannot be written."""
    import time
    import traceback

    from swath.errors import SwathError

    try:
        from swath.project.project import Project
        from swath.storage.private_folder import make_private, make_private_file

        file = Project.find(Path.cwd()).state / "errors.log"
        make_private(file.parent)
        make_private_file(file)
        with file.open("a", encoding="utf-8") as log:
            log.write(
                f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} pipe {' '.join(sys.argv[1:2])}\n{traceback.format_exc()}\n"
            )
    except (SwathError, OSError):
        return ""
    return str(file)
