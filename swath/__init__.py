"""swath: one YAML names area, imagery and model; `pipe run` turns it into a map.

This is the public interface: for pipelines in a project's own `pipelines/` folder, and for programs that run specs
(docs/library.md). Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from swath.version import __version__

if TYPE_CHECKING:
    from swath.errors import SwathError
    from swath.graph.call_context import progress
    from swath.graph.either import either
    from swath.graph.pipeline import Pipeline, pipeline
    from swath.graph.ref import SKIPPED
    from swath.graph.task import Task, task
    from swath.imagery.image_block import ImageBlock, find_scenes, read
    from swath.maps.own_map import MapTile, MapTiles, publish_map, tiles
    from swath.runner.job import Job
    from swath.runner.load import load
    from swath.runner.outcome import RunOutcome
    from swath.runner.plan import Plan, explain, plan
    from swath.runner.runner import run
    from swath.spec.base import Spec
    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import FilesImagery, Imagery, StacImagery
    from swath.spec.fields.model import ModelRef
    from swath.spec.fields.output import Output
    from swath.spec.fields.paths import InputFile, InputPath, OutputPath
    from swath.triggers.look import sensor

_PLACES = {
    "Area": "swath.spec.fields.area",
    "FilesImagery": "swath.spec.fields.imagery",
    "GridSpec": "swath.spec.fields.grid",
    "ImageBlock": "swath.imagery.image_block",
    "Imagery": "swath.spec.fields.imagery",
    "InputFile": "swath.spec.fields.paths",
    "InputPath": "swath.spec.fields.paths",
    "Job": "swath.runner.job",
    "MapTile": "swath.maps.own_map",
    "MapTiles": "swath.maps.own_map",
    "ModelRef": "swath.spec.fields.model",
    "Output": "swath.spec.fields.output",
    "OutputPath": "swath.spec.fields.paths",
    "Pipeline": "swath.graph.pipeline",
    "Plan": "swath.runner.plan",
    "RunOutcome": "swath.runner.outcome",
    "SKIPPED": "swath.graph.ref",
    "Spec": "swath.spec.base",
    "StacImagery": "swath.spec.fields.imagery",
    "SwathError": "swath.errors",
    "Task": "swath.graph.task",
    "either": "swath.graph.either",
    "explain": "swath.runner.plan",
    "find_scenes": "swath.imagery.image_block",
    "load": "swath.runner.load",
    "pipeline": "swath.graph.pipeline",
    "plan": "swath.runner.plan",
    "progress": "swath.graph.call_context",
    "publish_map": "swath.maps.own_map",
    "read": "swath.imagery.image_block",
    "run": "swath.runner.runner",
    "sensor": "swath.triggers.look",
    "task": "swath.graph.task",
    "tiles": "swath.maps.own_map",
}

__all__ = [
    "SKIPPED",
    "Area",
    "FilesImagery",
    "GridSpec",
    "ImageBlock",
    "Imagery",
    "InputFile",
    "InputPath",
    "Job",
    "MapTile",
    "MapTiles",
    "ModelRef",
    "Output",
    "OutputPath",
    "Pipeline",
    "Plan",
    "RunOutcome",
    "Spec",
    "StacImagery",
    "SwathError",
    "Task",
    "__version__",
    "either",
    "explain",
    "find_scenes",
    "load",
    "pipeline",
    "plan",
    "progress",
    "publish_map",
    "read",
    "run",
    "sensor",
    "task",
    "tiles",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        # `swath.pipeline` and the like are functions although modules of that name exist deeper down.
        value = getattr(importlib.import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'swath' has no attribute {name!r}")
