"""`pipe doctor`: can this machine do the work? Every line is `ok`, `warn` or `fail`, with what to do."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from swath import units
from swath.cluster.doctor.finding import Finding
from swath.errors import SwathError, UsageError

if TYPE_CHECKING:
    from swath.project.project import Project
    from swath.spec.clusters.cloud import AwsCluster, GcpCluster
    from swath.spec.clusters.cluster import Cluster
    from swath.spec.clusters.kubernetes import KubernetesCluster

LIBRARIES = ("torch", "dask", "distributed", "rasterio", "geopandas", "numpy", "pydantic", "typer")
EXTRAS = {
    "train": ("lightning", "training of networks"),
    "networks": ("segmentation-models-pytorch", "networks other than swath's own"),
    "onnx": ("onnxruntime", "models in .onnx"),
    "notify": ("apprise", "notices by mail and chats; webhooks need nothing"),
    "otel": ("opentelemetry-sdk", "OpenTelemetry traces, when its variables ask for them"),
    "gcp": ("gcsfs", "gs:// and clusters on Google Cloud"),
    "aws": ("s3fs", "s3:// and clusters on AWS"),
}
"""Extra -> a distribution that it brings, and what it is for."""
LOW_DISK = 5e9
"""Bytes of free disk below which a run may not have room."""


def examine(spec: Path | None, cluster: str | None, *, as_json: bool) -> int:
    """Print all findings, of this machine and of the cluster that a spec or a name says. Returns 0 without a failure, else the
    exit code of the worst: 4 before 5 before 1."""
    findings = []
    for look in (
        _python,
        _libraries,
        _gdal,
        _gpu,
        _machine,
        _state,
        _disk,
        _pipelines,
        _extras,
        _notices,
        _traces,
        *_places(spec, cluster),
    ):
        for finding in _looked(look):
            findings.append(finding)
            if not as_json:
                print(f"{finding.state:<4}  {finding.what:<11}  {finding.message}", flush=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    codes = {finding.exit_code or 1 for finding in findings if finding.state == "fail"}
    return next((code for code in (4, 5, 1) if code in codes), 0)


def _looked(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    what = getattr(look, "func", look).__name__.strip("_")
    try:
        yield from look()
    except SwathError as error:
        yield Finding("fail", what, str(error).replace("\n", ";"), error.exit_code if error.exit_code in (4, 5) else 1)
    except Exception as error:  # noqa: BLE001 - a broken library may raise anything: that is a finding, not the end
        yield Finding("fail", what, f"{type(error).__name__}: {error}")


def _python() -> Iterator[Finding]:
    from swath.version import __version__

    yield Finding("ok", "swath", __version__)
    yield Finding("ok", "python", f"{platform.python_version()} at {sys.executable}")


def _libraries() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    for name in LIBRARIES:
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            yield Finding("fail", name, "is not installed: pip install swath")


def _gdal() -> Iterator[Finding]:
    yield _in_own_process("gdal", "import rasterio; print(rasterio.__gdal_version__)")


def _gpu() -> Iterator[Finding]:
    yield _in_own_process(
        "gpu", "import torch; c = torch.cuda; print(c.get_device_name() if c.is_available() else 'none')"
    )


def _in_own_process(what: str, code: str) -> Finding:
    """What a line of Python prints. A library that is built wrongly may take its process with it, so it gets its own."""
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return Finding("fail", what, f"{last}: install swath again")
    return Finding("ok", what, done.stdout.strip())


def _machine() -> Iterator[Finding]:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    yield Finding("ok", "cores", str(cores))
    enough = memory.available > 1e9
    said = f"{units.size(memory.available)} free of {units.size(memory.total)}"
    yield Finding(
        "ok" if enough else "warn", "memory", said if enough else f"{said}: use cluster {{kind: local, workers: 1}}"
    )


def _state() -> Iterator[Finding]:
    from swath.cli.context import here
    from swath.engine.journal import Journal

    state = here().state
    if (state / "journal.sqlite").is_file():
        with Journal.open(state) as journal:
            yield Finding("ok", "journal", f"{state}: {len(journal.runs())} runs")
    else:
        yield Finding("ok", "journal", f"{state}: no runs yet")
    folder = _existing(state)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("fail", "state", f"{folder} cannot be written: set SWATH_HOME to a folder that can")


def _disk() -> Iterator[Finding]:
    import psutil

    from swath.cli.context import here

    for what, folder in (("disk", Path.cwd()), ("state disk", _existing(here().state))):
        free = psutil.disk_usage(str(folder)).free
        said = f"{units.size(free)} free at {folder}"
        yield Finding("ok" if free > LOW_DISK else "warn", what, said)


def _pipelines() -> Iterator[Finding]:
    from swath.cli.context import here
    from swath.project.registry import Registry

    registry = Registry.discover(here().pipelines)
    yield Finding("ok", "pipelines", ", ".join(registry.names) or "none")
    for place, reason in registry.broken.items():
        yield Finding("warn", "pipelines", f"{place} could not be loaded: {reason}")


def _extras() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    for extra, (name, use) in EXTRAS.items():
        try:
            yield Finding("ok", extra, f"{name} {version(name)}: {use}")
        except PackageNotFoundError:
            yield Finding("ok", extra, f"not installed; for {use}: pip install 'swath[{extra}]'")


def _notices() -> Iterator[Finding]:
    from swath.cli.context import here
    from swath.reporting.notifications import check_addresses

    notify = here().notify
    check_addresses([notify])
    for when, those in (("success", notify.on_success), ("failure", notify.on_failure)):
        if told := [one.masked for one in those if one.scheme]:
            yield Finding("ok", "notices", f"on {when}: {', '.join(told)}")


def _traces() -> Iterator[Finding]:
    from importlib.util import find_spec

    from swath.reporting.otel import requested_by

    if name := requested_by(os.environ):
        there = find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None
        remedy = "" if there else ", but traces need an optional package: pip install 'swath[otel]'"
        yield Finding("ok" if there else "warn", "traces", f"asked for by {name}{remedy}")


def _places(spec: Path | None, name: str | None) -> list[Callable[[], Iterator[Finding]]]:
    """What looks at where a run would be. Raises SpecError for a spec that is wrong, UsageError for an unknown cluster."""
    from swath.cli.context import here
    from swath.spec.clusters.cloud import AwsCluster, GcpCluster
    from swath.spec.clusters.cluster import LocalCluster
    from swath.spec.clusters.kubernetes import KubernetesCluster
    from swath.spec.clusters.workers import Workers

    project, outputs, stage = here(), [], None
    if spec is not None:
        from swath.runner.load import load

        job = load(spec, cluster=name)
        project, cluster = job.project, job.spec.cluster
        outputs = [output.to for output in job.outputs if "://" in output.to]  # others this machine writes
        stage = job.spec.stage
    elif name is not None and name != "local":
        if name not in project.clusters:
            known = ", ".join(["local", *project.clusters])
            raise UsageError(f"there is no cluster {name!r}; known are {known}", remedy="swath.yaml names clusters")
        cluster = project.clusters[name]
    else:
        cluster = LocalCluster(workers=Workers(min=1, max=1))
    if isinstance(cluster, AwsCluster | GcpCluster | KubernetesCluster):
        folders = [project.results or stage or str(project.state / "results"), *([stage] if stage else []), *outputs]
        price = [partial(_price, cluster, project)] if not isinstance(cluster, KubernetesCluster) else []
        return [*price, partial(_cloud, cluster, folders)]
    return [partial(_cluster, cluster)]


def _cloud(cluster: AwsCluster | GcpCluster | KubernetesCluster, folders: list[str]) -> Iterator[Finding]:
    from swath.cluster.doctor.doctor import check_cluster

    yield from check_cluster(cluster, folders)


def _price(cluster: AwsCluster | GcpCluster, project: Project) -> Iterator[Finding]:
    from swath.cluster.cost.prices import PriceUnknown, cluster_prices

    try:
        known = cluster_prices(cluster, project.prices)
    except PriceUnknown as error:
        yield Finding("warn", "price", f"{error.message}; {error.remedy}")
        return
    each = f"{known.worker.usd_per_hour:.3g} USD an hour for each {known.worker.type}"
    yield Finding("ok", "price", f"{each}, {known.scheduler.usd_per_hour:.3g} for the scheduler (about, {known.date})")


def _cluster(spec: Cluster) -> Iterator[Finding]:
    """Have it come up, and go."""
    import tempfile

    from swath.cluster.open import open_cluster

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, open_cluster(spec, Path(scratch)) as cluster:
        address = f" at {cluster.address}" if cluster.address else ""
        took = units.duration(time.monotonic() - began)
        yield Finding("ok", "cluster", f"{cluster.kind}, {cluster.workers} workers{address}, came up in {took}")


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
