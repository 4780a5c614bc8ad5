"""The process that uses inputs: `python -m tests.attack.child KIND SEED FIRST COUNT FOLDER`. It prints a JSON line before and
after each."""

from __future__ import annotations

import gc
import json
import os
import random
import re
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from swath.cli.render.terminal_text import shortened
from swath.errors import AreaError, SpecError, SwathError
from tests.attack.guard import CANARY, Guard, left_files
from tests.attack.kind import Kind, open_kind

INPUT_S = 10.0
"""No input may take longer."""
MEMORY_BYTES = 1 << 30
"""No input may need more than that on top of what the process has."""
MESSAGE_CHARACTERS = 20_000
_RAW = re.compile(r"Traceback|<class '|<function |object at 0x|\b[A-Za-z]+Error\(")
"""What messages for people do not contain."""


def main(name: str, seed: int, first: int, count: int, folder: Path) -> None:
    for each in ("home", "tmp", "current", "inputs"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    os.environ |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "SWATH_HOME": str(folder / "state")}
    os.environ |= {"XDG_CACHE_HOME": str(folder / "home/cache"), "XDG_CONFIG_HOME": str(folder / "home/config")}
    for variable in ("SWATH_TRUST", "SWATH_DEBUG"):
        os.environ.pop(variable, None)
    (folder / "inputs" / f"{CANARY}.py").write_text("raise SystemExit('code of an input was run')\n")
    # What libraries print belongs to no protocol.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    kind = open_kind(name, folder / "inputs")
    os.chdir(folder / "current")
    guard = Guard(folder, kind.host, kind.may_start)
    _limit_memory()
    unchanged = kind.unchanged() if first == 0 else iter(())
    for path in unchanged:
        print(json.dumps({"number": -1, "done": "unchanged"}), file=answers, flush=True)
        error, forbidden = _use(kind, path, guard)
        wrong = forbidden + ([f"{path.name} is refused"] if error is not None else [])
        answer: dict[str, Any] = {"refused": error is not None, "wrong": wrong, "seconds": 0.0, "message": str(error)}
        print(json.dumps(answer), file=answers, flush=True)
    for number in range(first, first + count):
        path, done = kind.write(random.Random(f"{seed} {name} {number}"))
        print(json.dumps({"number": number, "done": done}), file=answers, flush=True)
        known = set((folder / "current").rglob("*")) | set((folder / "inputs").rglob("*"))
        began, memory = time.monotonic() - _queued_s(), _memory()
        error, forbidden = _use(kind, path, guard)
        seconds = time.monotonic() - _queued_s() - began
        wrong = list(forbidden)
        if seconds > INPUT_S:
            wrong.append(f"took {seconds:.1f} s")
        if _memory() - memory > MEMORY_BYTES:
            wrong.append(f"needed {(_memory() - memory) >> 20} MiB")
        wrong += [f"left {each}" for each in left_files(folder / "current", known)]
        wrong += [f"left {each}" for each in left_files(folder / "inputs", known)]
        if error is not None:
            wrong += _mistakes(error, kind, path)
        answer = {"refused": error is not None, "wrong": wrong, "seconds": seconds}
        if error is not None:
            answer["message"] = str(error)[:2000]
        if wrong and error is not None and not isinstance(error, SwathError):
            answer["traceback"] = "".join(traceback.format_exception(error)[-6:])
        print(json.dumps(answer), file=answers, flush=True)
        del error
        if number % 50 == 0:
            gc.collect()
    os._exit(0)


def _use(kind: Kind, path: Path, guard: Guard) -> tuple[BaseException | None, list[str]]:
    with guard.watching() as forbidden:
        try:
            kind.use(path)
        except BaseException as error:  # noqa: BLE001 - what this looks for
            return error, forbidden
    return None, forbidden


def _mistakes(error: BaseException, kind: Kind, path: Path) -> list[str]:
    """What is wrong with an error, as its user sees it."""
    if not isinstance(error, SwathError):
        return [f"raised {type(error).__name__}: {str(error)[:300]}"]
    wrong, text = [], str(error)
    if error.exit_code not in kind.codes:
        wrong.append(f"exit code {error.exit_code}")
    if not any(name in text for name in kind.names(path)):
        wrong.append("the message does not say where")
    if not error.remedy and not isinstance(error, (SpecError, AreaError)):  # they say it in one text
        wrong.append("the message does not say what to do")
    if raw := _RAW.search(text):
        wrong.append(f"the message has {raw[0]!r}")
    if len(text := shortened(text)) > MESSAGE_CHARACTERS:
        wrong.append(f"the message has {len(text)} characters")
    if isinstance(error, SpecError) and not all(each.message and each.line and each.column for each in error.mistakes):
        wrong.append("a mistake without a line, a column or a message")
    return wrong


def _queued_s() -> float:
    """Seconds for which this process has waited for a core of a busy machine."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _memory() -> int:
    """The most that this process has needed, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _limit_memory() -> None:
    if sys.platform != "linux":
        return
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + 4 * MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]).resolve())
