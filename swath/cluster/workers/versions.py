"""Comparison of package versions of client, scheduler and workers: one side pickles calls and results, the other reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distributed.versions import get_versions

from swath.cluster.workers import image_manifest
from swath.cluster.workers.image_manifest import Manifest
from swath.cluster.workers.run_client import answer
from swath.errors import InfrastructureError
from swath.version import __version__

if TYPE_CHECKING:
    from distributed import Client

COMPARED_PARTS = {
    "python": 2,
    "dask": 3,
    "distributed": 3,
    "cloudpickle": 2,
    "msgpack": 1,
    "numpy": 1,
    "pandas": 1,
    "pydantic": 2,
}
"""Package -> how many leading parts of its version must be equal. Functions are pickled as the bytecode of one Python; Dask's
protocol changes from release to release; arrays and models are pickled by the names of their modules."""
SCHEDULER_PACKAGES = ("python", "dask", "distributed", "cloudpickle", "msgpack")
"""Compared with the scheduler, which unpickles neither arrays nor models."""
PACKAGES = ["pydantic"]
"""Compared, beside those that Dask names itself."""
SHOWN_PACKAGES = 4
"""Packages that a warning names."""

Versions = Mapping[str, str | None]
"""Package (and `python`) -> version; None when it is not installed."""


def differences(here: Versions, there: Versions) -> dict[str, tuple[str, str]]:
    """Package -> (version here, version there) of those that do not fit. Packages that one side lacks are left out."""
    found = {}
    for package, parts in COMPARED_PARTS.items():
        mine, theirs = here.get(package), there.get(package)
        if mine and theirs and mine.split(".")[:parts] != theirs.split(".")[:parts]:
            found[package] = (_short(mine), _short(theirs))
    return found


def check(client: Any, address: str) -> None:
    """Raise InfrastructureError, with both versions, when the scheduler or a worker does not fit to this process; TimeoutError when
    they do not answer."""
    check_workers(client, address)
    here = _here()
    found: Any = answer(client, client.scheduler.versions, packages=PACKAGES)
    scheduler = {name: version for name, version in found["packages"].items() if name in SCHEDULER_PACKAGES}
    _require_equal(here, scheduler, f"the scheduler at {address}")
    try:
        version = answer(client, client._run_on_scheduler, _version)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - the scheduler may raise anything when it has no swath
        version = f"{type(error).__name__}: {error}"
    if version != __version__:
        raise InfrastructureError(
            f"the scheduler at {address} does not run swath {__version__} as this process does; it says: {version}",
            remedy=f"install swath=={__version__} where the scheduler runs, or the scheduler's version here",
        )


def check_workers(client: Any, address: str, workers: list[str] | None = None) -> None:
    """The same of workers of the scheduler at an address: of all, or of those with the given addresses."""
    here = _here()
    found: dict[str, Any] = answer(
        client,
        client.scheduler.broadcast,
        msg={"op": "versions", "packages": PACKAGES},
        workers=workers,
        on_error="ignore",
    )
    for worker, info in found.items():
        _require_equal(here, info["packages"], f"worker {worker}")
    # Last, because the request itself is a pickle. The scheduler unpickles names of swath's functions, so it needs swath too.
    swath: dict[str, object] = answer(client, client._run, _version, workers=workers, on_error="return")
    wrong = {worker: version for worker, version in swath.items() if version != __version__ and not _left(version)}
    if wrong:
        worker, version = next(iter(wrong.items()))
        who = f"{len(wrong)} of {len(swath)} workers at {address} do"
        if workers is not None:
            who = f"worker {worker}, which has joined {address}, does"
        raise InfrastructureError(
            f"{who} not run swath {__version__} as this process does; {worker} says: {version}",
            remedy=f"install swath=={__version__} where the workers run, or the workers' version here",
        )
    for worker, image in _images(client, workers).items():
        if unmet := image_manifest.unmet_requirements(image, image_manifest.requirements()):
            raise InfrastructureError(
                f"the image of worker {worker}, built from commit {image.commit}, is older than what swath needs: "
                + "; ".join(map(str, unmet)),
                remedy="rebuild the image with `make image`, and name it in cluster.image",
            )


def _here() -> Versions:
    found: Versions = get_versions(packages=PACKAGES)["packages"]
    return found


def _left(answered: object) -> bool:
    """Whether a worker has left, or its connection has ended, while it was asked."""
    return isinstance(answered, OSError)


def package_warning(client: Client) -> str:
    """A warning about packages whose versions in the workers' image differ from those here; empty when there are none. The run
    goes on. The image's commit is not compared: a project's code is sent to workers."""
    here = image_manifest.installed()
    for image in _images(client).values():
        if changed := image_manifest.changed_packages(image, here):
            shown = "; ".join(map(str, changed[:SHOWN_PACKAGES]))
            if more := len(changed[SHOWN_PACKAGES:]):
                shown += f"; and {more} more"
            return f"the image has other packages than this machine, which may change results: {shown}; `make image` renews it"
    return ""


def _images(client: Client, workers: list[str] | None = None) -> dict[str, Manifest]:
    """Worker -> manifest of its image, for workers in an image of swath."""
    answers: dict[str, object] = answer(client, client._run, Manifest.of_image, workers=workers, on_error="return")
    return {worker: image for worker, image in answers.items() if isinstance(image, Manifest)}


def _require_equal(here: Versions, there: Versions, who: str) -> None:
    wrong = differences(here, there)
    if wrong:
        versions = "; ".join(
            f"{package} is {theirs} there and {mine} here" for package, (mine, theirs) in wrong.items()
        )
        needs = [f"{package}=={mine}" for package, (mine, _) in wrong.items() if package != "python"]
        python = [f"use Python {'.'.join(wrong['python'][0].split('.')[:2])} there"] if "python" in wrong else []
        install = [f"install {' '.join(needs)} there"] if needs else []
        raise InfrastructureError(
            f"{who} does not fit to this process: {versions}",
            remedy=" and ".join([*python, *install])
            + ", or the other way; where an image of `make image` runs, rebuild the image",
        )


def _short(version: str) -> str:
    """`3.11.7` of `3.11.7.final.0`."""
    return ".".join(version.split(".")[:3])


def _version() -> str:
    from swath.version import __version__ as version

    return version
