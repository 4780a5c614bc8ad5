"""What the crash-test loop runs: a small pipeline of a project's own, and the shipped one on a small picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHAIN = '''
import hashlib
import time
from pathlib import Path

from swath import Output, Spec, pipeline, task
from swath.graph.call_context import current_run


class Chain(Spec):
    output: Output
    n: int = 24
    seconds: float = 0.02
    """That each call takes."""
    notes: str
    """A file that tells which calls were really made."""


def note(notes, text):
    with Path(notes).open("a") as file:
        file.write(text + "\\n")


@task
def numbers(n, *, notes):
    note(notes, "numbers")
    return list(range(n))


@task(retries=1, retry_delay_s=0.05)
def draw(number, *, seconds, notes):
    print("drawing", number)
    time.sleep(seconds)
    note(notes, f"draw {number}")
    return number, hashlib.sha256(str(number).encode()).digest() * 500  # 16 kB: kept in the store


@task
def refine(drawn, *, seconds, notes):
    number, data = drawn
    time.sleep(seconds)
    note(notes, f"refine {number}")
    return number, hashlib.sha256(data).hexdigest()


@task
def summary(refined, *, notes):
    note(notes, "summary")
    return "\\n".join(f"{number} {text}" for number, text in refined)


@task(on_client=True)
def publish(drawn, text, *, output):
    from swath.storage.publication import Staging
    from swath.storage.durable_write import writing

    with Staging(output.to, current_run()) as staging:
        for number, data in drawn:
            path = staging.folder / f"part{number}.bin"
            with writing(path):
                path.write_bytes(data)
        (staging.folder / "summary.txt").write_text(text)
        (staging.folder / "item.json").write_text("{}")
        return staging.publish({})


@pipeline
def chain(spec: Chain):
    """A map on a map, a reduce, and files that belong together."""
    drawn = draw.map(numbers(spec.n, notes=spec.notes), seconds=spec.seconds, notes=spec.notes)
    refined = refine.map(drawn, seconds=spec.seconds, notes=spec.notes)
    return publish(drawn, summary(refined, notes=spec.notes), output=spec.output)
'''

CLUSTERS: Mapping[str, Any] = {"inline": "inline", "local": {"kind": "local", "workers": 2}}


@dataclass(frozen=True)
class Project:
    """Something to run."""

    name: str
    spec: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    """Of its own, by path."""

    @property
    def local(self) -> bool:
        """Whether there are workers to kill."""
        return self.spec["cluster"] != "inline"

    def write(self, folder: Path) -> Path:
        """Lay it out in a folder; returns the path of its spec."""
        for path, text in {"swath.yaml": "", **self.files}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        own = {"notes": str(folder / "notes")} if self.spec["pipeline"] == "chain" else {}
        output = {**self.spec["output"], "to": "out/map"} if "output" in self.spec else "out/map"
        (folder / "spec.yaml").write_text(yaml.safe_dump({**self.spec, **own, "output": output}))
        return folder / "spec.yaml"


def chain(cluster: str) -> Project:
    """The pipeline of a project's own."""
    return Project(
        f"chain {cluster}", {"pipeline": "chain", "cluster": CLUSTERS[cluster]}, {"pipelines/chain.py": CHAIN}
    )


def predict(cluster: str, folder: Path) -> Project:
    """The shipped pipeline. Picture and model are made in the folder when they are not there."""
    model, picture = folder / "model.pt2", folder / "picture.tif"
    if not picture.exists():
        import numpy as np

        from tests.imagery.rasters import write
        from tests.models.tiny_models import write_integer_unet

        model = write_integer_unet(folder)
        pixels = np.random.default_rng(7).integers(1, 255, (3, 256, 320), dtype=np.uint8)
        write(picture, pixels, names=("red", "green", "blue"), nodata=0)
        (folder / "model").write_text(str(model))
    model = Path((folder / "model").read_text())
    imagery = {"source": "files", "paths": [str(picture)], "names": ["red", "green", "blue"]}
    spec = {
        "pipeline": "predict",
        "imagery": imagery,
        "model": str(model),
        "region": 64,
        "output": {"blocksize": 64},
        "cluster": CLUSTERS[cluster],
    }
    return Project(f"predict {cluster}", spec)
