"""The real `pipe` process, as tests use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
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

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "swath.cli", *map(str, arguments)],
            cwd=self.folder,
            env=self.env | options.pop("env", {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def __call__(
        self, *arguments: object, code: int | None = 0, timeout: float = 100, env: Mapping[str, str] | None = None
    ) -> Done:
        words, env = list(map(str, arguments)), self.env | dict(env or {})
        if warm.POSSIBLE and words[0] in ("run", "resume"):
            ended = warm.run(words, self.folder, env, timeout)
        else:
            command = [sys.executable, "-m", "swath.cli", *words]
            ended = subprocess.run(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=timeout, check=False,
            )  # fmt: skip
        done = Done(ended.returncode, ended.stdout, ended.stderr)
        assert code is None or done.code == code, f"exit code {done.code}\n{done.out[-4000:]}\n{done.err[-4000:]}"
        return done
