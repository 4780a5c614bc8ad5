"""Checks of this machine and of a project, for `pipe doctor`: libraries, memory, disks, state folder, pipelines, optional packages."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from swath import units
from swath.cluster.doctor.finding import Finding, ok, warn
from swath.project.project import Project
from swath.version import __version__

LIBRARIES = ("torch", "dask", "distributed", "rasterio", "geopandas", "numpy", "pydantic", "typer")
EXTRAS = {
    "train": ("lightning", "training of networks"),
    "networks": ("segmentation-models-pytorch", "networks other than swath's own"),
    "onnx": ("onnxruntime", "models in .onnx"),
    "openvino": ("openvino", "models on CPUs, often at twice the speed"),
    "notify": ("apprise", "notices by mail and chats; webhooks need nothing"),
    "otel": ("opentelemetry-sdk", "OpenTelemetry traces, when its variables ask for them"),
    "gcp": ("gcsfs", "gs:// and clusters on Google Cloud"),
    "aws": ("s3fs", "s3:// and clusters on AWS"),
}
"""Extra of swath -> a distribution that it installs, and what it is for."""

Check = tuple[str, Callable[[], Iterator[Finding]]]
"""A name for the finding of an error, and a function that checks."""


@dataclass(frozen=True)
class MachineLimits:
    """What counts as enough."""

    disk_bytes: float = 5e9
    """Free disk below which a run may not have room."""
    memory_bytes: float = 1e9
    """Available memory for one worker process."""
    library_s: float = 120.0
    """Time to import a library."""


def machine_checks(project: Project, folder: Path, limits: MachineLimits = MachineLimits()) -> list[Check]:
    """The checks of this machine and of a project, in the order of their findings. folder: where outputs go."""
    return [
        ("python", _python),
        ("libraries", _libraries),
        ("gdal", partial(_prints, "gdal", "import rasterio; print(rasterio.__gdal_version__)", limits)),
        ("gpu", partial(_prints, "gpu", _GPU, limits)),
        ("machine", partial(_machine, limits)),
        ("state", partial(_state, project.state)),
        ("disk", partial(_disks, folder, project.state, limits)),
        ("pipelines", partial(_pipelines, project)),
        ("model sandbox", _model_sandbox),
        ("extras", _extras),
        ("notices", partial(_notifications, project)),
        ("traces", _traces),
    ]


def fail(what: str, message: str) -> Finding:
    """A failure of this machine."""
    return Finding("fail", what, message, 1)


def _python() -> Iterator[Finding]:
    yield ok("swath", __version__)
    yield ok("python", f"{platform.python_version()} at {sys.executable}")


def _libraries() -> Iterator[Finding]:
    for name in LIBRARIES:
        try:
            yield ok(name, version(name))
        except PackageNotFoundError:
            yield fail(name, "is not installed: pip install swath")


_GPU = "import torch; c = torch.cuda; print(c.get_device_name() if c.is_available() else 'none')"


def _prints(what: str, code: str, limits: MachineLimits) -> Iterator[Finding]:
    """What a line of Python prints. A library that is built wrongly may end its process, so it gets one of its own."""
    command = [sys.executable, "-P", "-c", code]  # imports nothing from the current folder
    done = subprocess.run(command, capture_output=True, text=True, timeout=limits.library_s, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        yield fail(what, f"{last}: install swath again")
    else:
        yield ok(what, done.stdout.strip())


def _machine(limits: MachineLimits) -> Iterator[Finding]:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    yield ok("cores", str(cores))
    message = f"{units.size(memory.available)} free of {units.size(memory.total)}"
    if memory.available > limits.memory_bytes:
        yield ok("memory", message)
    else:
        yield warn("memory", f"{message}: use cluster {{kind: local, workers: 1}}")


def _state(state: Path) -> Iterator[Finding]:
    from swath.engine.journal import Journal

    if (state / "journal.sqlite").is_file():
        with Journal.open(state) as journal:
            yield ok("journal", f"{state}: {len(journal.runs())} runs")
    else:
        yield ok("journal", f"{state}: no runs yet")
    folder = _existing(state)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield fail("state", f"{folder} cannot be written: set SWATH_HOME to a folder that can")


def _disks(folder: Path, state: Path, limits: MachineLimits) -> Iterator[Finding]:
    for what, place in (("disk", folder), ("state disk", _existing(state))):
        free = shutil.disk_usage(place).free
        yield (ok if free > limits.disk_bytes else warn)(what, f"{units.size(free)} free at {place}")


def _pipelines(project: Project) -> Iterator[Finding]:
    from swath.project.registry import Registry

    registry = Registry.of(project)
    yield ok("pipelines", ", ".join(registry.names) or "none")
    if registry.not_loaded:
        yield warn("pipelines", registry.not_loaded)
    for error in registry.ambiguous.values():
        yield warn("pipelines", f"{error.message}; {error.remedy}")
    for place, reason in registry.broken.items():
        yield warn("pipelines", f"{place} could not be loaded: {reason}")


def _model_sandbox() -> Iterator[Finding]:
    from swath.models.safety.sandbox import available

    protections = available()
    if {"landlock", "seccomp"} & set(protections):
        yield ok("model sandbox", f"models are first loaded with {', '.join(protections)}")
    else:
        yield warn(
            "model sandbox", "models are first loaded with limits of memory and time only: Linux 5.13 or newer has more"
        )


def _extras() -> Iterator[Finding]:
    for extra, (name, use) in EXTRAS.items():
        try:
            yield ok(extra, f"{name} {version(name)}: {use}")
        except PackageNotFoundError:
            yield ok(extra, f"not installed; for {use}: pip install 'swath[{extra}]'")


def _notifications(project: Project) -> Iterator[Finding]:
    from swath.reporting.notifications import check_addresses

    notify = project.notify
    check_addresses([notify])
    for when, addresses in (("success", notify.on_success), ("failure", notify.on_failure)):
        if masked := [address.masked for address in addresses if address.scheme]:
            yield ok("notices", f"on {when}: {', '.join(masked)}")


def _traces() -> Iterator[Finding]:
    from swath.reporting.otel import requested_by

    if name := requested_by(os.environ):
        if find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None:
            yield ok("traces", f"asked for by {name}")
        else:
            remedy = "traces need an optional package: pip install 'swath[otel]'"
            yield warn("traces", f"asked for by {name}, but {remedy}")


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
