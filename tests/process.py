"""The real `pipe` process, as tests use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests import warm

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Done:
    """How a `pipe` process ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Of a run with `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    def count(self, event: str, **fields: Any) -> int:
        return sum(e["event"] == event and all(e[k] == v for k, v in fields.items()) for e in self.events)


class Pipe:
    """Runs `pipe` in a project folder, with a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if k != "SWATH_HOME"} | {
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "120",
        }

    def spec(self, name: str = "spec", **fields: Any) -> Path:
        """Write a predict spec."""
        document = {"pipeline": "predict", "output": "out", "cluster": "inline", **fields}
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    def words(self, *arguments: object) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "swath.cli", *map(str, arguments)]

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(*arguments),
            cwd=self.folder,
            env=self.env | options.pop("env", {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def __call__(
        self, *arguments: object, code: int | None = 0, timeout: float = 100, cold: bool = False, **options: Any
    ) -> Done:
        """Run it to its end: `cold` in an interpreter of its own, as with options of a process, else see tests/warm.py."""
        words = list(map(str, arguments))
        env = options.pop("env", {})
        read_early = any(name.startswith("DASK_") for name in self.env | env)
        if words[0] in ("run", "resume") and not (cold or options or read_early) and warm.POSSIBLE:
            ended = warm.run(words, self.folder, self.env | env, timeout)
            done = Done(ended.returncode, ended.stdout, ended.stderr)
        else:
            process = self.start(*words, env=env, **options)
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                raise
            done = Done(process.returncode, out, err)
        assert code is None or done.code == code, f"exit code {done.code}\n{done.out[-4000:]}\n{done.err[-4000:]}"
        return done
