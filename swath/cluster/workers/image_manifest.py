"""What an image holds beside swath: its commit and its exact packages, so that a client can tell whether it still fits.

A project's pipelines travel to workers by value, so most commits need no new image. What they import does not travel: an image has
to be made again when the packages that swath needs have changed. `make image` writes the manifest into the image with

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
"""Where it is in an image; SWATH_IMAGE names another file."""
HASH_LENGTH = 16
PROJECT = "swath"


@dataclass(frozen=True)
class Manifest:
    """Of one image."""

    commit: str
    """Of the repository that it was made from."""
    constraints: str
    """`fingerprint` of the constraints.txt that it was made with."""
    packages: Mapping[str, str]
    """Version by name of everything that swath needs, and of everything that this needs in turn."""

    @classmethod
    def of_image(cls) -> Self | None:
        """The one of the image that this process runs in; None outside of images."""
        path = Path(os.environ.get("SWATH_IMAGE") or FILE)
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def json(self) -> str:
        """As it is in its file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class PackageDifference:
    """A package that is not the same in an image as here."""

    package: str
    image: str
    """Its version there; empty when it is not there at all."""
    here: str
    """What is needed here: a version, or a range such as `>=1.4`."""

    def __str__(self) -> str:
        return f"{self.package} is {self.image or 'missing'} there, here {self.here}"


def unmet(image: Manifest, requirements: list[Requirement]) -> list[PackageDifference]:
    """What swath needs here and the image lacks, or has in a version that will not do: the image must be made again."""
    found = []
    for each in sorted(requirements, key=lambda each: each.name):
        version = image.packages.get(canonicalize_name(each.name), "")
        if not version or not each.specifier.contains(version, prereleases=True):
            found.append(
                PackageDifference(
                    each.name, version, f"{each.specifier} is needed" if each.specifier else "it is needed"
                )
            )
    return found


def moved(image: Manifest, here: Mapping[str, str]) -> list[PackageDifference]:
    """Packages that both have, in different versions: what they compute may differ in the last bits."""
    return [
        PackageDifference(name, image.packages[name], here[name])
        for name in sorted(here.keys() & image.packages.keys())
        if here[name] != image.packages[name]
    ]


def requirements() -> list[Requirement]:
    """What this swath needs, without its extras: of pyproject.toml in a checkout, which may be newer than what was installed."""
    return _needed(_of_checkout() or metadata.requires(PROJECT) or [])


def installed() -> dict[str, str]:
    """Version by name of what swath needs and of what this needs in turn, as they are in this process."""
    found: dict[str, str] = {}
    waiting = [(each.name, frozenset(each.extras)) for each in requirements()]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # whoever compares sees that it is missing
        found[canonicalize_name(name)] = _public(distribution.version)
        for each in _needed(distribution.requires or [], extras):
            if (next_one := (each.name, frozenset(each.extras))) not in seen:
                seen.add(next_one)
                waiting.append(next_one)
    return found


def fingerprint(constraints: str) -> str:
    """A short hash of the pins of a constraints.txt: comments and order do not matter."""
    pins = {line.partition("#")[0].strip() for line in constraints.splitlines()} - {""}
    return hashlib.sha256("\n".join(sorted(pins)).encode()).hexdigest()[:HASH_LENGTH]


def _of_checkout() -> list[str]:
    """What the pyproject.toml beside swath states; nothing where swath was installed from a wheel."""
    import tomllib

    try:
        project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        return []
    stated = project.get("project", {})
    return list(stated["dependencies"]) if stated.get("name") == PROJECT else []


def _needed(stated: list[str], extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """Those that hold for this Python and system, and for these extras."""
    parsed = map(Requirement, stated)
    return [
        each
        for each in parsed
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in {"", *extras})
    ]


def _public(version: str) -> str:
    """Without what tells builds apart: torch 2.13.0+cpu and 2.13.0 are the same release."""
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
    asked = parser.parse_args(arguments)
    mark = fingerprint(asked.constraints.read_text(encoding="utf-8"))
    sys.stdout.write(Manifest(asked.commit, mark, installed()).json() if asked.commit else mark + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
