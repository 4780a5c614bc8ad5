"""The manifest of a container image: its commit and the versions of its packages. A client tells from it whether the image is current.

A project's code is sent to workers, so most commits need no new image. Packages are not sent: an image has to be built again when the
packages that swath needs have changed. `make image` writes the manifest into the image with

    python -m swath.cluster.workers.image_manifest --commit COMMIT --constraints constraints.txt
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Self

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

FILE = Path("/etc/swath/image.json")
"""Its path in an image; SWATH_IMAGE names another file."""
HASH_LENGTH = 16
PROJECT = "swath"


@dataclass(frozen=True)
class Manifest:
    """Contents of one image."""

    commit: str
    """Commit of the repository from which it was built."""
    constraints: str
    """`fingerprint` of its constraints.txt."""
    packages: Mapping[str, str]
    """Package -> version, of all dependencies of swath, direct and indirect."""

    @classmethod
    def of_image(cls) -> Self | None:
        """The manifest of the image in which this process runs; None outside of images."""
        path = Path(os.environ.get("SWATH_IMAGE") or FILE)
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def json(self) -> str:
        """Text of its file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class PackageDifference:
    """A package whose version in an image differs from the one here."""

    package: str
    image: str
    """Version in the image; empty when it is missing there."""
    here: str
    """What is here or needed here: a version, or a range such as `>=1.4`."""

    def __str__(self) -> str:
        return f"{self.package} is {self.image or 'missing'} there, here {self.here}"


def unmet_requirements(image: Manifest, requirements: list[Requirement]) -> list[PackageDifference]:
    """Requirements of swath that the image does not meet: it has to be built again."""
    unmet = []
    for each in sorted(requirements, key=lambda each: each.name):
        version = image.packages.get(canonicalize_name(each.name), "")
        if not version or not each.specifier.contains(version, prereleases=True):
            unmet.append(
                PackageDifference(
                    each.name, version, f"{each.specifier} is needed" if each.specifier else "it is needed"
                )
            )
    return unmet


def changed_packages(image: Manifest, here: Mapping[str, str]) -> list[PackageDifference]:
    """Packages that both have, in different versions: results may differ in the last bits."""
    return [
        PackageDifference(name, image.packages[name], here[name])
        for name in sorted(here.keys() & image.packages.keys())
        if here[name] != image.packages[name]
    ]


def requirements() -> list[Requirement]:
    """Requirements of swath without its extras. In a checkout those of pyproject.toml, which may be newer than the installed ones."""
    return _applicable(_requirements_of_checkout() or metadata.requires(PROJECT) or [])


def installed() -> dict[str, str]:
    """Package -> version in this process, of all dependencies of swath, direct and indirect."""
    versions: dict[str, str] = {}
    waiting = [(each.name, frozenset(each.extras)) for each in requirements()]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # the comparison reports it as missing
        versions[canonicalize_name(name)] = _public(distribution.version)
        for each in _applicable(distribution.requires or [], extras):
            if (next_one := (each.name, frozenset(each.extras))) not in seen:
                seen.add(next_one)
                waiting.append(next_one)
    return versions


def fingerprint(constraints: str) -> str:
    """A short hash of the pins of a constraints.txt, whatever its comments and its order."""
    pins = {line.partition("#")[0].strip() for line in constraints.splitlines()} - {""}
    return hashlib.sha256("\n".join(sorted(pins)).encode()).hexdigest()[:HASH_LENGTH]


def _requirements_of_checkout() -> list[str]:
    """Dependencies in the pyproject.toml beside swath; empty where swath was installed from a wheel."""
    import tomllib

    try:
        project = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        return []
    table = project.get("project", {})
    return list(table["dependencies"]) if table.get("name") == PROJECT else []


def _applicable(requirements: list[str], extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """Requirements that apply to this Python, this system and these extras."""
    return [
        each
        for each in map(Requirement, requirements)
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in {"", *extras})
    ]


def _public(version: str) -> str:
    """Without the local part: torch 2.13.0+cpu and 2.13.0 are the same release."""
    try:
        return Version(version).public
    except InvalidVersion:
        return version


def main(arguments: list[str]) -> None:
    """Write the manifest of this environment, or the fingerprint of a constraints.txt alone, to the standard output."""
    parser = argparse.ArgumentParser(prog="python -m swath.cluster.workers.image_manifest", description=main.__doc__)
    parser.add_argument(
        "--constraints", type=Path, required=True, help="the constraints.txt that it was installed with"
    )
    parser.add_argument("--commit", help="of the repository; without it only the fingerprint is written")
    options = parser.parse_args(arguments)
    constraints = fingerprint(options.constraints.read_text(encoding="utf-8"))
    manifest = Manifest(options.commit, constraints, installed()) if options.commit else None
    sys.stdout.write(manifest.json() if manifest else constraints + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
