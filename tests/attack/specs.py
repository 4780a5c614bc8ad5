"""Specs with random changes: of bytes, of values, of the structure of the YAML text."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from swath.project.project import Project
from swath.project.registry import Registry
from swath.runner.load import load_in
from tests.attack.guard import CANARY
from tests.attack.kind import NoProcesses
from tests.attack.mutations import STRANGE, changed_bytes, changed_document, cut_bytes
from tests.imagery.rasters import write

ROOT = Path(__file__).resolve().parents[2]
_LINES = (
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "!!python/object/apply:os.system [touch x]", "? [a]\n: b", "<<: {a: 1}",
    "pipeline: predict", "\tx: 1", "--- \nx: 1", "x: !!binary aGVsbG8=", "%YAML 1.1", "[" * 40, "{" * 40, "x: '", 'x: "\\ud800"', "- a",
    "cluster: {kind: inline}", "matrix: {model: [a, b], output: [c, d]}", "area: POLYGON ((0 0, 1 0", "x: 0x" + "f" * 400,
    "matrix: {x: [1, 2], exclude: [{x: 1}]}", "search: {trials: 3}", "notify: {to: x}", "budget: 1e99 USD", f"pipeline: {CANARY}",
)  # fmt: skip
"""Lines that are put between those of a spec."""
_VALUES = (
    *STRANGE, f"{CANARY}:run", f"{CANARY}", {"kind": "inline"}, {"kind": "address", "address": "tcp://10.0.0.1:1"},
    "POLYGON ((0 0, 1 0, 1 1, 0 0))",
    [1e9, 1e9, 2e9, 2e9], {"bbox": [0, 0, 1, 1], "crs": "EPSG:99999"}, {"path": "area.geojson", "where": "1; DROP TABLE x"}, "s3://b/k",
    {"type": "FeatureCollection", "features": [None]}, "*.tif", "[", "**/" * 50, "${env:", "${env:NO}", "$${x}", "a" * 70000,
)  # fmt: skip


class Specs(NoProcesses):
    """The examples in specs/, in a folder that is not trusted, and every second time as one that is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copy(ROOT / "swath.yaml", folder)
        (folder / "pipelines").mkdir()
        (folder / f"pipelines/{CANARY}.py").write_text("raise SystemExit('code of an input was run')\n")
        shutil.copytree(ROOT / "specs/areas", folder / "specs/areas")
        shutil.copytree(ROOT / "models", folder / "models")
        for name in ("data/landsat.tif", "out/demo/map.tif", "out/demo-2020/map.tif", "out/overpass/map.tif"):
            (folder / name).parent.mkdir(parents=True)
            write(folder / name, np.zeros((7, 16, 16), np.uint8))
        self._texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "specs").glob("*.yaml"))]
        untrusted = Project.find(folder)
        trusted = replace(untrusted, trusted=True, pipelines=(), env=None)
        self._projects = [(each, Registry.of(each)) for each in (untrusted, trusted)]
        self._trusted = False

    def unchanged(self) -> Iterator[Path]:
        self._trusted = True
        for text in self._texts:
            (self._folder / "spec.yaml").write_text(text, encoding="utf-8")
            yield self._folder / "spec.yaml"

    def write(self, chance: random.Random) -> tuple[Path, str]:
        text, path, how = chance.choice(self._texts), self._folder / "spec.yaml", chance.random()
        self._trusted = chance.random() < 0.6
        if how < 0.5:
            document, done = changed_document(yaml.safe_load(text), chance, _VALUES)
            path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
            return path, done
        if how < 0.8:
            lines = text.splitlines()
            for _ in range(chance.choice((1, 1, 2, 4))):
                at = chance.randrange(len(lines))
                indent = " " * chance.choice((0, 0, 2, 4))
                if chance.random() < 0.7:
                    lines.insert(at, indent + chance.choice(_LINES))
                else:
                    lines[at], lines[-1] = indent + lines[-1], lines[at]
            path.write_text("\n".join(lines), encoding="utf-8")
            return path, "other lines"
        change = chance.choice((changed_bytes, cut_bytes))
        path.write_bytes(change(text.encode(), chance))
        return path, change.__name__

    def use(self, path: Path) -> None:
        job = load_in(str(path), (), None, *self._projects[self._trusted])
        _ = job.variant_graphs
