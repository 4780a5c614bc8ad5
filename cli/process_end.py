"""The end of the process of a command: without the interpreter's teardown, which takes most of a second once torch is loaded.

Threads are waited for and all that is registered to happen at exit happens, as always; then the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys


class ProcessEnd:
    """Ends the process with `code` after everything else that is registered at exit; as usual while there is no code."""

    def __init__(self) -> None:
        self.code: int | None = None
        """Exit code; None before the command has ended."""

    @classmethod
    def of_command(cls) -> ProcessEnd | None:
        """One that is registered, in a process that was started for a command; None in other programs that run one.

        What is registered first is called last. Where something is registered already, such as by coverage, it would not be called.
        """
        registered = getattr(atexit, "_ncallbacks", lambda: 1)()
        if registered or os.path.basename(sys.argv[0]) not in ("pipe", "__main__.py"):  # noqa: PTH119 - pathlib is not imported yet
            return None
        end = cls()
        atexit.register(end)
        return end

    def __call__(self) -> None:
        if self.code is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # a closed pipe was told already
                stream.flush()
        os._exit(self.code)
