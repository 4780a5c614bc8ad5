"""`pipe sweep`: lists or removes what crashed runs left: machines, clusters, unfinished output, locks in buckets."""

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
    """Print leftovers; remove them when asked to.

    Raises TeardownError when something could not be removed, CredentialsError or InfrastructureError where a place
    could not be searched.
    """
    project = here()
    searched = [*_places_of(project), *(_place(text) for text in places)]
    if not (project.state / "journal.sqlite").is_file() and not searched:
        if as_json:
            print("[]")
        print("nothing is left: there are no runs here", file=sys.stderr)
        return 0
    from swath.cluster.teardown import sweep as sweeper
    from swath.engine.journal import Journal

    errors: list[TeardownError] = []
    removed: set[str] = set()
    with Journal.open(project.state) as journal:
        found = sweeper.find_leftovers(journal, searched, journal.find(run).id if run else None)
        for leftover in found.leftovers if remove else ():
            try:
                leftover.remove(journal)
                removed.add(leftover.id)
            except TeardownError as error:
                errors.append(error)
    _print(found, removed, as_json=as_json)
    for note in found.notes:
        print(note, file=sys.stderr)
    if errors:
        raise TeardownError(
            "\n".join(error.message for error in errors), remedy="\n  ".join(error.remedy for error in errors)
        )
    if found.unknown:
        raise _search_error(found.unknown)
    if not found.leftovers:
        if not found.notes:
            print("nothing is left", file=sys.stderr)
    elif remove:
        print(f"removed {len(removed)}", file=sys.stderr)
    else:
        print("`pipe sweep --yes` removes it", file=sys.stderr)
    return 0


def _print(found: SweepResult, removed: set[str], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "kind": left.kind, "id": left.id, "run": left.run, "status": left.status, "made": left.leased_at,
                "bytes": left.size, "what": left.lines, "removed": left.id in removed,
            }
            for left in found.leftovers
        ]  # fmt: skip
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    cells = [
        (
            left.kind, what, left.run, left.status, units.local_time(left.leased_at) if left.leased_at else "",
            units.size(left.size) if left.size else "",
        )
        for left in found.leftovers
        for what in left.lines or ["machines that may still start"]
    ]  # fmt: skip
    for line in table(("KIND", "WHAT", "RUN", "STATUS", "CREATED", "SIZE"), cells, right=(5,)) if cells else ():
        print(line)


def _places_of(project: Project) -> list[Place]:
    """Where the clusters of swath.yaml are: regions, projects, namespaces."""
    from swath.spec.clusters.cloud import AwsCluster, GcpCluster
    from swath.spec.clusters.kubernetes import KubernetesCluster

    found: list[Place] = []
    for cluster in project.clusters.values():
        if isinstance(cluster, AwsCluster):
            found.append(("aws", cluster.region))
        elif isinstance(cluster, GcpCluster):
            found.append(("gcp", cluster.project))
        elif isinstance(cluster, KubernetesCluster):
            from swath.cluster.providers.kubernetes.api import place_of

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
    raise UsageError(f"--in {text}: no such place", remedy="write aws:REGION, gcp:PROJECT or kubernetes:NAMESPACE")


def _search_error(errors: Sequence[tuple[str, SwathError]]) -> SwathError:
    """One error of all places that could not be searched."""
    kind = CredentialsError if isinstance(errors[0][1], CredentialsError) else InfrastructureError
    lines = [f"{what}: {error.message}" for what, error in errors]
    return kind("not everything could be searched:\n" + "\n".join(lines), remedy=errors[0][1].remedy)
