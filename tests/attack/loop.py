"""Uses thousands of inputs with random changes, of every kind: each is valid or refused as documented, and does no harm.

`make attack` uses 10,000 of each kind. SWATH_TEST_SEED makes the same inputs again; SWATH_ATTACK_INPUTS says how many of each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attack.kind import KINDS

ROOT = Path(__file__).resolve().parents[2]
START_S = 300.0
"""Until the first input, in which libraries are imported."""
PROGRESS_INPUTS = 500
"""After so many a line is printed, from which a session that was killed goes on."""
HANGS_S = 120.0
"""An input without an answer for so long is taken to hang, also on a busy machine."""


@dataclass
class Report:
    """What the inputs of one kind did."""

    kind: str
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    findings: list[str] = field(default_factory=list)
    interrupted: bool = False

    def __str__(self) -> str:
        return (
            f"{self.kind:10} {self.inputs:7,} inputs {self.refused:7,} refused {self.seconds:8.1f} s"
            f" (slowest {self.slowest_s:.1f} s) {len(self.findings):4} findings"
        )


def chosen_seed() -> int:
    """SWATH_TEST_SEED, or a random one."""
    return int(os.environ.get("SWATH_TEST_SEED", random.SystemRandom().randrange(10**6)))


def attack(kind: str, seed: int, count: int, folder: Path, first: int = 0) -> Report:
    """Use inputs of one kind, in a process that is started again when an input ends it or holds it for too long. SIGINT ends it
    early, with what was found until then."""
    report, began, number = Report(kind), time.monotonic(), first
    try:
        while number < first + count:
            place = folder / f"{kind.rpartition(':')[2]}-{number}"
            number = _session(report, seed, number, first + count - number, place)
    except KeyboardInterrupt:
        report.interrupted = True
    report.seconds = time.monotonic() - began
    return report


def _session(report: Report, seed: int, first: int, count: int, folder: Path) -> int:
    """Use inputs until all are used or the process ends. Returns the number of the next input."""
    words = [sys.executable, "-m", "tests.attack.child", report.kind, str(seed), str(first), str(count), str(folder)]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        try:
            return _watch(process, report, seed, first, errors)
        finally:
            process.kill()
            process.communicate()


def _watch(process: subprocess.Popen[bytes], report: Report, seed: int, number: int, errors: Any) -> int:
    assert process.stdout is not None
    done, patience_s, waiting = "", START_S, b""
    used = False
    while True:
        line, _, rest = waiting.partition(b"\n")
        if rest or waiting.endswith(b"\n"):
            waiting = rest
            answer = json.loads(line)
            if "number" in answer:
                number, done, patience_s, used = answer["number"], answer["done"], HANGS_S, True
                continue
            report.inputs += number >= 0
            report.refused += answer["refused"]
            report.slowest_s = max(report.slowest_s, answer["seconds"])
            if number >= 0 and (number + 1) % PROGRESS_INPUTS == 0:
                sys.stderr.write(f"{report.kind}: {number + 1:,}, --first {number + 1} goes on from here\n")
            for wrong in answer["wrong"]:
                trace = answer.get("traceback", "")
                _find(report, seed, number, done, f"{wrong}\n{answer.get('message', '')}\n{trace}".rstrip())
            number, used = number + 1, False
            continue
        if not select.select([process.stdout], [], [], patience_s)[0]:
            _find(report, seed, number, done, f"no answer within {patience_s:g} s")
            return number + 1
        piece = os.read(process.stdout.fileno(), 1 << 16)
        if piece:
            waiting += piece
            continue
        code = process.wait()
        if code == 0:
            return number
        errors.seek(0)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        text = errors.read()[-3000:].decode(errors="replace")
        if not used and not report.inputs:
            raise RuntimeError(f"the process of {report.kind} did not start ({how})\n{text}")
        _find(report, seed, number, done, f"ended the process with {how}\n{text}")
        return number + 1


def _find(report: Report, seed: int, number: int, done: str, wrong: str) -> None:
    report.findings.append(f"{report.kind} {number} of seed {seed} ({done}): {wrong}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kinds", default=",".join(KINDS), help="of %(default)s")
    parser.add_argument("--inputs", type=int, default=int(os.environ.get("SWATH_ATTACK_INPUTS", "10000")))
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first input, to repeat one with --inputs 1, or to go on"
    )
    parser.add_argument("--seed", type=int, default=chosen_seed())
    options = parser.parse_args(arguments)
    print(f"SWATH_TEST_SEED={options.seed} makes the same inputs again", flush=True)
    findings = 0
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="attack-")))
        for kind in options.kinds.split(","):
            report = attack(kind, options.seed, options.inputs, folder, options.first)
            findings += len(report.findings)
            for finding in report.findings:
                print(f"FOUND {finding}", flush=True)
            print(report, flush=True)
            if report.interrupted:
                break
    return min(findings, 1)


if __name__ == "__main__":
    sys.exit(main())
