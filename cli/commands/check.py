"""`pipe check`: check specs, and what a run of them would stumble over. Nothing is started."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swath.cli.render.terminal_text import shortened
from swath.errors import InfrastructureError, Mistake, SpecError, SwathError, UsageError
from swath.project.project import Project
from swath.project.registry import Registry
from swath.runner.check import CheckLimits, check
from swath.runner.load import load_in, project_of
from swath.spec.locations import spec_folder


def check_specs(
    files: list[Path],
    sets: list[str],
    cluster: str | None,
    allow_env: list[str],
    *,
    offline: bool = False,
    timeout_s: float | None = None,
    as_json: bool = False,
) -> int:
    """Check each spec. Verdicts go to stdout, mistakes to stderr.

    offline: only the spec and its graph. timeout_s: for what a spec names elsewhere. Returns 2 if any is wrong; else 4 or 5 if
    something elsewhere could not be read.
    """
    checker = _Checker(sets, cluster, allow_env, None if offline else _limits(timeout_s))
    verdicts = [checker.verdict(file) for file in files]
    if as_json:
        print(json.dumps(verdicts, ensure_ascii=False, indent=2))
    else:
        for verdict in verdicts:
            _print(verdict)
    wrong = [code for code in checker.exit_codes if code]
    elsewhere = wrong and all(code in (4, InfrastructureError.exit_code) for code in wrong)
    return max(wrong) if elsewhere else UsageError.exit_code if wrong else 0


def _limits(timeout_s: float | None) -> CheckLimits:
    return CheckLimits() if timeout_s is None else CheckLimits(timeout_s)


@dataclass
class _Checker:
    """Checks specs one after another."""

    sets: list[str]
    cluster: str | None
    allow_env: list[str]
    limits: CheckLimits | None
    """None: nothing but the spec is looked at."""
    exit_codes: list[int] = field(default_factory=list)
    """Of each spec that was checked; 0 when it is right."""
    projects: dict[Path, tuple[Project, Registry]] = field(default_factory=dict)
    """Those of folders that were met already."""

    def verdict(self, file: Path) -> dict[str, Any]:
        """The verdict on a spec as plain values."""
        try:
            folder = spec_folder(str(file))
            if folder not in self.projects:
                project = project_of(folder, allow_env=self.allow_env)
                self.projects[folder] = (project, Registry.of(project))
            job = load_in(file, self.sets, self.cluster, *self.projects[folder])
            graphs = job.variant_graphs
            _ = job.graph
        except SpecError as error:
            return self._wrong(file, error.exit_code, error.message, error.mistakes)
        except SwathError as error:
            return self._wrong(file, error.exit_code, f"{file}: {error}")
        except Exception as error:  # noqa: BLE001 - the pipeline's own code, on this spec
            return self._wrong(file, 2, f"{file}: the graph cannot be built: {type(error).__name__}: {error}")
        try:
            errors = check(job, self.limits) if self.limits is not None else []
        except Exception as error:  # noqa: BLE001 - a planner of the project's own
            return self._wrong(
                file, 2, f"{file}: it cannot be planned: {job.scrub(f'{type(error).__name__}: {error}')}"
            )
        if errors:
            codes = {error.exit_code for error in errors}
            text = "\n".join(f"{file}: {job.scrub(str(error))}" for error in errors)
            return self._wrong(file, codes.pop() if len(codes) == 1 else 2, text, count=len(errors))
        self.exit_codes.append(0)
        return {
            "file": str(file),
            "ok": True,
            "pipeline": job.loaded.pipeline,
            "nodes": sum(map(len, graphs)),
            "variants": [{"name": variant.name, "values": variant.values} for variant in job.loaded.variants],
            "notes": list(job.loaded.notes),
        }

    def _wrong(
        self, file: Path, code: int, text: str, mistakes: list[Mistake] | None = None, count: int = 1
    ) -> dict[str, Any]:
        self.exit_codes.append(code)
        plain = [
            {"file": m.file, "line": m.line, "column": m.column, "field": m.field, "message": m.message}
            for m in mistakes or ()
        ]
        return {"file": str(file), "ok": False, "mistakes": plain, "text": text, "count": len(plain) or count}


def _print(verdict: dict[str, Any]) -> None:
    file = verdict["file"]
    if verdict["ok"]:
        count, variants = verdict["nodes"], verdict["variants"]
        number = f", {len(variants)} {'variant' if len(variants) == 1 else 'variants'}" if variants else ""
        print(f"{file}: ok ({verdict['pipeline']}, {count} {'node' if count == 1 else 'nodes'}{number})")
        for variant in variants:
            print(f"{file}: variant: {variant['name']}")
        for note in verdict["notes"]:
            print(f"{file}: note: {note}", file=sys.stderr)
        return
    count = verdict["count"]
    print(shortened(verdict["text"]), file=sys.stderr)
    print(f"{file}: {count} {'mistake' if count == 1 else 'mistakes'}")
