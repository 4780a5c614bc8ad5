"""publish_change_map: the change map of all regions with its table, vectors, preview and STAC item, published together."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swath.change.comparison import RegionComparison
from swath.change.states import StatePair
from swath.change.transition_table import (
    TransitionRow,
    area_matrix,
    transition_legend,
    transition_rows,
    transitions_csv,
)
from swath.errors import TaskFailed
from swath.imagery.labels.unknown_values import merge_counts, unknown_text
from swath.maps.legend import class_shares
from swath.maps.map_files import MapFiles
from swath.spec.fields.output import Vectors

if TYPE_CHECKING:
    from swath.geo import Regions
    from swath.maps.layout import MapLayout
    from swath.spec.fields.output import Output
    from swath.storage.publication import Published


log = logging.getLogger(__name__)


def publish_change_map(
    compared: Sequence[RegionComparison], pair: StatePair, regions: Regions, layout: MapLayout, output: Output
) -> Published:
    """Write and publish the files of a change map. What did not change gets no polygons. Raises TaskFailed when no pixel is known in
    both states, and what writing raises."""
    rows = transition_rows(compared, pair)
    unknown = _unknown_values(compared, pair)
    for line in unknown:
        log.warning(line)
    if not rows:
        raise TaskFailed(
            "; ".join(["no pixel is known in both states", *unknown]),
            remedy="Check the area, nodata, and where the two have their data.",
        )
    classes = transition_legend(rows)
    changed = [row for row in rows if row.transition.changed]
    share = 100 * sum(row.share for row in changed)
    before, after = pair.names
    files = MapFiles(
        compared, regions, (pair.scenes,), layout, _without_unchanged(output, rows), classes,
        bands=("change",), subtitle=f"{before} to {after}: {share:.1f} % changed", model=None,
        lineage=f"Transition of each pixel from {before} to {after}; the value is from * {len(pair.classes)} + to",
    )  # fmt: skip
    with files:
        files.add("transitions.csv", transitions_csv(rows))
        facts = files.write()
        return files.publish(
            {
                "shares": [dataclasses.asdict(each) for each in class_shares(classes, facts.counts)],
                "transitions": area_matrix(rows, pair),
                "numbers": {"valid pixels": facts.valid, "changed %": round(share, 3), **_hectares(changed)},
                "valid_pixels": facts.valid,
                "missing_regions": list(facts.missing),
                "input": {
                    "before": before,
                    "after": after,
                    "imagery": [
                        f"{scene.id}{f', {scene.datetime}' if scene.datetime else ''}" for scene in pair.scenes.scenes
                    ],
                    "classes": ", ".join(each.name for each in pair.classes),
                    "notes": [*pair.scenes.notes, *unknown] or "none",
                },
            }
        )


def _unknown_values(compared: Sequence[RegionComparison], pair: StatePair) -> list[str]:
    """What to say of pixels of either state whose value is no class."""
    counts = [merge_counts(each.unknown[number] for each in compared) for number in range(2)]
    return [
        f"{unknown_text(each, name)}. They are not compared. Name the values of the map in `classes`"
        for name, each in zip(pair.names, counts, strict=True)
        if each
    ]


def _without_unchanged(output: Output, rows: Sequence[TransitionRow]) -> Output:
    """The output with all transitions that are no change in the background of its vectors."""
    if output.vectors is None:
        return output
    unchanged = [row.transition.name for row in rows if not row.transition.changed]
    names = [row.transition.name for row in rows if row.transition.name in output.background]
    vectors = output.vectors.model_copy(update={"background": tuple(dict.fromkeys([*unchanged, *names]))})
    return output.model_copy(update={"vectors": Vectors.model_validate(vectors)})


def _hectares(changed: Sequence[TransitionRow]) -> dict[str, Any]:
    """Numbers of the report: hectares of all changes, and of each."""
    known = [row.hectares for row in changed if row.hectares is not None]
    total = {"changed ha": round(sum(known), 2)} if len(known) == len(changed) else {}
    each = {f"{row.transition.name} ha": round(row.hectares, 2) for row in changed if row.hectares is not None}
    return total | each
