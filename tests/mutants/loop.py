"""Changes a package at a random sample of places, one at a time, and runs the fast tests that cover it: `make mutants ROOM=maps`.

A mutant is found when a test fails or does not end in time. Results are kept in build/mutants; a run that was stopped goes on where it
was, and `--again` runs the survivors again after tests were added. Every tenth mutant is followed by a control: the same tests on the
unchanged file, which have to pass.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from tests.mutants.mutation import Mutation, difference, mutated, mutations_of
from tests.mutants.nursery import NO_TESTS
from tests.mutants.sample import CoverageMap, shuffled, summary

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("engine", "imagery", "models", "maps", "cluster", "evaluation")
EQUIVALENTS = Path(__file__).with_name("equivalent.txt")


@dataclass(frozen=True)
class Limits:
    """Of one mutant."""

    tests_s: float = 30.0
    """Seconds that its tests take without a change, together."""
    tests: int = 60
    start_s: float = 40.0
    slower: float = 8.0
    """How much longer the tests may take; the machine may be busy."""


class Copy:
    """A copy of the working tree, in which files are changed, with a process that runs tests in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        for name in sorted({each.decode() for each in listed.stdout.split(b"\0") if each} | {"data/landsat.tif"}):
            source, target = ROOT / name, folder / name
            if source.is_symlink() or source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=name == "data/landsat.tif")
        self.env = os.environ | {
            "PYTHONPATH": str(folder), "SWATH_SHARED": os.environ.get("SWATH_SHARED", str(ROOT.parent / "shared")),
        }  # fmt: skip
        self.temporary = tempfile.TemporaryDirectory(prefix="mutants-")
        self._mtime = 1_700_000_000
        self._nursery: subprocess.Popen[str] | None = None

    def test(self, module: str, code: str, tests: Sequence[str], limits: Limits, baseline_s: float) -> dict[str, Any]:
        """Run tests with the changed module. `code` is the exit code of pytest; None beyond the time limit."""
        path = self.folder / module
        original, stat = path.read_text(), path.stat()
        try:
            path.write_text(code)
            self._mtime += 1  # bytecode is kept by time in seconds and size
            os.utime(path, (self._mtime, self._mtime))
            limit_s = limits.start_s + limits.slower * baseline_s
            request = {"tests": list(tests), "limit_s": limit_s, "log": str(self.folder / "pytest.log")}
            return self._ask(request | {"temporary": f"{self.temporary.name}/tests"})
        finally:
            path.write_text(original)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def failure(self) -> str:
        """The first test that failed in the last run."""
        lines = (self.folder / "pytest.log").read_text(errors="replace").splitlines()
        return next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1] if lines else "")[:200]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        nursery = self._nursery
        if nursery is None:
            nursery = self._nursery = subprocess.Popen(
                [sys.executable, "-m", "tests.mutants.nursery"], cwd=self.folder, env=self.env, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            assert nursery.stdout is not None
            nursery.stdout.readline()
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.write(json.dumps(request) + "\n")
        nursery.stdin.flush()
        answer = nursery.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that runs tests ended: {self.folder}")
        result: dict[str, Any] = json.loads(answer)
        return result

    def close(self) -> None:
        if self._nursery is not None:
            self._nursery.kill()
            self._nursery.communicate()
        self.temporary.cleanup()


def covered(room: str, copy: Copy, folder: Path, tests: Sequence[str], jobs: int) -> CoverageMap:
    """The map of a room's fast tests. Only test files that have changed since the last time are run."""
    stored = folder / f"{room}.map.json"
    known = json.loads(stored.read_text()) if stored.is_file() else {"digests": {}, "lines": {}, "seconds": {}}
    files = sorted(
        str(path.relative_to(copy.folder)) for each in tests for path in (copy.folder / each).rglob("test_*.py")
    )
    digests = {name: hashlib.sha256((copy.folder / name).read_bytes()).hexdigest() for name in files}
    source = hashlib.sha256()
    for path in sorted((copy.folder / "swath" / room).rglob("*.py")):  # lines of other code are other lines
        source.update(str(path.relative_to(copy.folder)).encode() + path.read_bytes())
    digests["source"] = source.hexdigest()
    if known["digests"].get("source") != digests["source"]:
        known = {"digests": {}, "lines": {}, "seconds": {}}
    changed = [name for name in files if known["digests"].get(name) != digests[name]]
    found = CoverageMap()
    found.add(known["lines"], known["seconds"])
    found.forget([*changed, *(known["digests"].keys() - digests.keys())])
    if changed:
        print(f"{room}: which lines do the tests of {len(changed)} files run?", flush=True)
        target = folder / f"{room}.part"
        options = [
            "-q",
            "-n",
            str(jobs),
            "-m",
            "not slow",
            "-p",
            "tests.mutants.coverage_plugin",
            "-p",
            "no:cacheprovider",
        ]
        env = copy.env | {"SWATH_MUTANTS_MAP": str(target), "SWATH_MUTANTS_FOLDER": str(copy.folder / "swath" / room)}
        with (folder / f"{room}.log").open("w") as log:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *options, *changed], cwd=copy.folder, env=env, stdout=log, check=False
            )
        if done.returncode not in (0, 1):  # with no test run every mutant would survive
            raise SystemExit(f"{room}: pytest ended with {done.returncode}, see {folder / f'{room}.log'}")
        for part in folder.glob(f"{target.name}.*"):
            measured = json.loads(part.read_text())
            found.add(measured["lines"], measured["seconds"])
            if measured["failed"]:
                print(f"{room}: skipped or failed without any change, not used: {', '.join(measured['failed'])}")
            part.unlink()
        lines = {module: {line: sorted(each) for line, each in by.items()} for module, by in found.lines.items()}
        stored.write_text(json.dumps({"digests": digests, "lines": lines, "seconds": found.seconds}))
    return found


def equivalents() -> set[tuple[str, str, str]]:
    """(module, line before, line after) of changes that were looked at and change nothing that a test should see."""
    rows = [line.split(" | ") for line in EQUIVALENTS.read_text().splitlines() if line and not line.startswith("#")]
    return {(row[0].strip(), row[1].strip(), row[2].strip()) for row in rows}


def changed_lines(diff: str) -> tuple[str, str]:
    """The first line that a diff takes off, and the first that it adds."""
    rows = diff.splitlines()[2:]
    before = next((row[1:].strip() for row in rows if row.startswith("-")), "")
    return before, next((row[1:].strip() for row in rows if row.startswith("+")), "")


class Results:
    """What is known of mutants, in a file of one line of JSON each; the last line of a mutant counts."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        rows = map(json.loads, path.read_text().splitlines()) if path.is_file() else ()
        self.rows: dict[str, dict[str, Any]] = {row["name"]: row for row in rows}

    def add(self, row: dict[str, Any]) -> None:
        with self._lock, self._path.open("a") as file:
            self.rows[row["name"]] = row
            file.write(json.dumps(row) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--sample", type=int, default=100, help="how many places to change (100)")
    parser.add_argument("--seed", type=int, default=1, help="of the random sample (1)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (2)")
    parser.add_argument("--again", action="store_true", help="run the survivors of the last run again")
    parser.add_argument("--only", default="", help="only mutants whose name has this text")
    args = parser.parse_args()
    folder = ROOT / "build/mutants"
    folder.mkdir(parents=True, exist_ok=True)
    modules = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "swath" / args.room).rglob("*.py"))
    every = [mutation for module in modules for mutation in mutations_of(ROOT, module)]
    sources = {module: (ROOT / module).read_text() for module in modules}
    copies = [Copy(folder / f"{args.room}.{number}") for number in range(args.jobs)]
    try:
        coverage_map = covered(args.room, copies[0], folder, [f"tests/{args.room}"], args.jobs)
        results = Results(folder / f"{args.room}.{args.seed}.jsonl")
        if args.again:
            chosen = [row for row in results.rows.values() if row["outcome"] == "survived"]
            todo = [Mutation(**row["mutation"]) for row in chosen if _is_there(row, sources)]
        else:
            todo = _chosen(every, sources, args.seed, args.sample)
        todo = [each for each in todo if args.only in each.name and (args.again or each.name not in results.rows)]
        _try_all(todo, sources, copies, coverage_map, results)
    finally:
        for copy in copies:
            copy.close()
    _tell(args.room, args.seed, len({(each.module, each.line, each.column) for each in every}), results)
    return 0


def _is_there(row: dict[str, Any], sources: dict[str, str]) -> bool:
    """Whether a mutation still is what it was: its file may have changed."""
    mutation = Mutation(**row["mutation"])
    source = sources.get(mutation.module, "")
    code = mutated(source, mutation)
    same = code is not None and changed_lines(difference(source, code, mutation.module)) == changed_lines(row["diff"])
    if not same:
        print(f"{mutation.name}: its file has changed; not run again")
    return same


def _chosen(every: list[Mutation], sources: dict[str, str], seed: int, count: int) -> list[Mutation]:
    found: list[Mutation] = []
    for each in shuffled(every, seed):
        if len(found) == count:
            break
        if mutated(sources[each.module], each) is not None:
            found.append(each)
    return found


def _try_all(
    todo: list[Mutation], sources: dict[str, str], copies: list[Copy], coverage_map: CoverageMap, results: Results
) -> None:
    waiting: Queue[tuple[int, Mutation]] = Queue()
    for numbered in enumerate(todo, 1):
        waiting.put(numbered)

    def work(copy: Copy) -> None:
        while True:
            try:
                number, mutation = waiting.get_nowait()
            except Empty:
                return
            row = _try(
                mutation,
                sources[mutation.module],
                copy,
                coverage_map,
                control=number <= len(copies) or number % 10 == 0,
            )
            results.add(row)
            print(f"{number}/{len(todo)} {row['outcome']:9} {row['seconds']:5.1f} s  {mutation.name}", flush=True)

    threads = [threading.Thread(target=work, args=(copy,)) for copy in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _try(
    mutation: Mutation, source: str, copy: Copy, coverage_map: CoverageMap, *, control: bool, limits: Limits = Limits()
) -> dict[str, Any]:
    code = mutated(source, mutation)
    assert code is not None
    row = {"name": mutation.name, "mutation": asdict(mutation), "diff": difference(source, code, mutation.module)}
    module, line = mutation.module, mutation.line
    tests = coverage_map.tests_of(source, module, line, most_s=limits.tests_s, most=limits.tests)
    if not tests:
        return row | {"outcome": "survived", "seconds": 0.0, "tests": 0, "by": "no test runs this line"}
    baseline_s = sum(coverage_map.seconds[test] for test in tests)
    answer = copy.test(module, code, tests, limits, baseline_s)
    failure = copy.failure()
    failed = failure.startswith(("FAILED", "ERROR"))  # pytest may break off after a failure
    if answer["code"] == NO_TESTS and not failed:
        raise RuntimeError(f"the tests did not run: see {copy.folder}/pytest.log")
    outcome = {None: "timeout", 0: "survived"}.get(answer["code"], "found")
    row |= {"outcome": outcome, "seconds": answer["seconds"], "tests": len(tests), "by": failure}
    if control:
        again = copy.test(module, source, tests, limits, baseline_s)
        row["control"] = "passed" if again["code"] == 0 else copy.failure()
        if again["code"] != 0:
            raise RuntimeError(f"tests fail without any change: {copy.failure()}; see {copy.folder}/pytest.log")
    return row


def _tell(room: str, seed: int, places: int, results: Results) -> None:
    known = equivalents()
    outcomes = []
    for row in results.rows.values():
        outcome = row["outcome"]
        if outcome == "survived" and (row["mutation"]["module"], *changed_lines(row["diff"])) in known:
            outcome = "equivalent"
        if outcome == "survived":
            print(f"\nsurvived {row['tests']} tests: {row['name']}\n{row['diff']}")
        outcomes.append(outcome)
    controls = [row["control"] for row in results.rows.values() if "control" in row]
    wrong = [each for each in controls if each != "passed"]
    print(f"\ncontrols: {len(controls)}, of which failed: {len(wrong)}", *wrong, sep="\n")
    print(f"of the found, by the time limit: {outcomes.count('timeout')}")
    print("| package | places | sample | seed | found | equivalent | survived | found of those that matter (95 %) |")
    print(summary(room, seed, places, outcomes))


if __name__ == "__main__":
    sys.exit(main())
