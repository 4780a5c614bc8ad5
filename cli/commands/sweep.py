"""`pipe sweep`: what crashed runs left behind, listed or removed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from swath import units
from swath.cli.context import here
from swath.cli.render.columns import table
from swath.errors import CredentialsError, InfrastructureError, SwathError, TeardownError, UsageError

if TYPE_CHECKING:
    from swath.cluster.teardown.sweep import Place, SweepResult
    from swath.project.project import Project


def sweep(*, remove: bool, as_json: bool, run: str | None = None, places: Sequence[str] = ()) -> int:
    """Print what is left; remove it when asked to. Raises TeardownError when something stays, and what kept from looking."""
    project = here()
    looked_in = [*_named(project), *(_place(text) for text in places)]
    if not (project.state / "journal.sqlite").is_file() and not looked_in:
        if as_json:
            print("[]")
        print("nothing is left: there are no runs here", file=sys.stderr)
        return 0
    from swath.cluster.teardown import sweep as sweeper
    from swath.engine.journal import Journal

    stays: list[TeardownError] = []
    gone: set[str] = set()
    with Journal.open(project.state) as journal:
        found = sweeper.find(journal, looked_in, journal.find(run).id if run else None)
        for leftover in found.leftovers if remove else ():
            try:
                leftover.remove(journal)
                gone.add(leftover.id)
            except TeardownError as error:
                stays.append(error)
    _print(found, gone, as_json=as_json)
    if stays:
        raise TeardownError(
            "\n".join(error.message for error in stays), remedy="\n  ".join(error.remedy for error in stays)
        )
    if found.unknown:
        raise _unknown(found.unknown)
    if not found.leftovers:
        print("nothing is left", file=sys.stderr)
    elif remove:
        print(f"removed {len(gone)}", file=sys.stderr)
    else:
        print("`pipe sweep --yes` removes it", file=sys.stderr)
    return 0


def _print(found: SweepResult, gone: set[str], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "kind": left.kind, "id": left.id, "run": left.run, "status": left.status, "made": left.made,
                "bytes": left.size, "what": left.about, "removed": left.id in gone,
            }
            for left in found.leftovers
        ]  # fmt: skip
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    cells = [
        (
            left.kind, what, left.run, left.status, units.local_time(left.made) if left.made else "",
            units.size(left.size) if left.size else "",
        )
        for left in found.leftovers
        for what in left.about or ["machines may be about to come up"]
    ]  # fmt: skip
    for line in table(("KIND", "WHAT", "RUN", "STATUS", "MADE", "SIZE"), cells, right=(5,)) if cells else ():
        print(line)


def _named(project: Project) -> list[Place]:
    """Where the clusters of swath.yaml are."""
    from swath.spec.clusters.cloud import AwsCluster, GcpCluster
    from swath.spec.clusters.kubernetes import KubernetesCluster

    found: list[Place] = []
    for cluster in project.clusters.values():
        if isinstance(cluster, AwsCluster):
            found.append(("aws", cluster.region))
        elif isinstance(cluster, GcpCluster):
            found.append(("gcp", cluster.project))
        elif isinstance(cluster, KubernetesCluster):
            from swath.cluster.kubernetes.pods import place_of

            found.append(("kubernetes", place_of(cluster)))
    return found


def _place(text: str) -> Place:
    kind, _, place = text.partition(":")
    if kind == "aws" and place:
        return "aws", place
    if kind == "gcp" and place:
        return "gcp", place
    if kind == "kubernetes" and place:
        return "kubernetes", place
    raise UsageError(
        f"--in {text}: not a place of machines", remedy="write aws:REGION, gcp:PROJECT or kubernetes:NAMESPACE"
    )


def _unknown(errors: Sequence[tuple[str, SwathError]]) -> SwathError:
    """One error of all that kept from looking."""
    kind = CredentialsError if isinstance(errors[0][1], CredentialsError) else InfrastructureError
    lines = [f"{what}: {error.message}" for what, error in errors]
    return kind("it is not known whether something is left:\n" + "\n".join(lines), remedy=errors[0][1].remedy)
