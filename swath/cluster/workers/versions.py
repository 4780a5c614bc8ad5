"""Whether client, scheduler and workers fit together: calls and results are pickled by one side and read by the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swath.cluster.workers import image_manifest
from swath.cluster.workers.image_manifest import Manifest
from swath.errors import InfrastructureError
from swath.version import __version__

if TYPE_CHECKING:
    from distributed import Client

AGREE = {
    "python": 2,
    "dask": 3,
    "distributed": 3,
    "cloudpickle": 2,
    "msgpack": 1,
    "numpy": 1,
    "pandas": 1,
    "pydantic": 2,
}
"""How many leading parts of each version must be the same. Functions are pickled as the bytecode of one Python; Dask's parts talk
a language that changes from release to release; arrays and models are pickled by the names of their modules."""
ON_SCHEDULER = ("python", "dask", "distributed", "cloudpickle", "msgpack")
"""What the scheduler itself needs; it reads neither arrays nor models."""
SHOWN = 4
"""Packages that a remark names."""

Versions = Mapping[str, str | None]
"""Version by package, `python` among them; None for what is not installed."""


def differences(here: Versions, there: Versions) -> dict[str, tuple[str, str]]:
    """What does not fit, with both sides' versions. Optional packages that one side lacks do not matter."""
    found = {}
    for package, parts in AGREE.items():
        mine, theirs = here.get(package), there.get(package)
        if mine and theirs and mine.split(".")[:parts] != theirs.split(".")[:parts]:
            found[package] = (_short(mine), _short(theirs))
    return found


def check(client: Client, address: str) -> None:
    """Raise InfrastructureError, naming both sides, when the scheduler or a worker does not fit to this process."""
    found: Any = client.get_versions(packages=["pydantic"])
    here: Versions = found["client"]["packages"]
    scheduler = {name: version for name, version in found["scheduler"]["packages"].items() if name in ON_SCHEDULER}
    _agree(here, scheduler, f"the scheduler at {address}")
    for worker, its in found["workers"].items():
        _agree(here, its["packages"], f"worker {worker}")
    # Asked last: the question itself is a pickle. A scheduler reads the names of swath's functions, so it needs them too.
    swath: dict[str, object] = dict(client.run(_version, on_error="return"))
    wrong = {worker: version for worker, version in swath.items() if version != __version__}
    if wrong:
        worker, version = next(iter(wrong.items()))
        raise InfrastructureError(
            f"{len(wrong)} of {len(swath)} workers at {address} do not run swath {__version__} as this process does; "
            f"{worker} says: {version}",
            remedy=f"install swath=={__version__} where the workers run, or the workers' version here",
        )
    try:
        version = client.run_on_scheduler(_version)
    except Exception as error:  # noqa: BLE001 - whatever the other side raises: it cannot say its version
        version = f"{type(error).__name__}: {error}"
    if version != __version__:
        raise InfrastructureError(
            f"the scheduler at {address} does not run swath {__version__} as this process does; it says: {version}",
            remedy=f"install swath=={__version__} where the scheduler runs, or the scheduler's version here",
        )
    for worker, image in _images(client).items():
        if lacks := image_manifest.unmet(image, image_manifest.requirements()):
            raise InfrastructureError(
                f"the image of worker {worker}, made from commit {image.commit}, is older than what swath needs: "
                + "; ".join(map(str, lacks)),
                remedy="rebuild the image with `make image`, and name it in cluster.image",
            )


def remark(client: Client) -> str:
    """A line on packages that workers' images have in other versions than this process, which does not keep a run from going
    on; empty when there are none. Commits do not count: a project's pipelines travel by value."""
    here = image_manifest.installed()
    for image in _images(client).values():
        if moved := image_manifest.moved(image, here):
            shown = "; ".join(map(str, moved[:SHOWN])) + (f"; and {len(moved) - SHOWN} more" if moved[SHOWN:] else "")
            return f"the image was made with other packages than are here, which may change results: {shown}; `make image` renews it"
    return ""


def _images(client: Client) -> dict[str, Manifest]:
    """Manifests by worker, of those that run in an image of ours."""
    told: dict[str, object] = dict(client.run(Manifest.of_image, on_error="return"))
    return {worker: image for worker, image in told.items() if isinstance(image, Manifest)}


def _agree(here: Versions, there: Versions, who: str) -> None:
    wrong = differences(here, there)
    if wrong:
        said = "; ".join(f"{package} is {theirs} there and {mine} here" for package, (mine, theirs) in wrong.items())
        needs = [f"{package}=={mine}" for package, (mine, _) in wrong.items() if package != "python"]
        python = [f"use Python {'.'.join(wrong['python'][0].split('.')[:2])} there"] if "python" in wrong else []
        install = [f"install {' '.join(needs)} there"] if needs else []
        raise InfrastructureError(
            f"{who} does not fit to this process: {said}",
            remedy=" and ".join([*python, *install])
            + ", or the other way; where an image of `make image` runs, rebuild the image",
        )


def _short(version: str) -> str:
    """`3.11.7` of Python's own `3.11.7.final.0`."""
    return ".".join(version.split(".")[:3])


def _version() -> str:
    from swath.version import __version__ as version

    return version
