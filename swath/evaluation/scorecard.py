"""Scorecard: the scores of all regions together, published as JSON, HTML page and error map."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swath.errors import TaskFailed, UsageError
from swath.evaluation.error_map import error_legend
from swath.evaluation.inspection import object_scores, worst_places
from swath.evaluation.page import render_page
from swath.evaluation.scoring import RegionScores, ScoreTotals, sum_scores
from swath.evaluation.scoring_input import ScoringInput
from swath.evaluation.summary import Summary, summarise
from swath.imagery.labels.labels import unknown_labels_text
from swath.imagery.labels.unknown_values import unknown_text
from swath.maps.legend import class_shares
from swath.maps.map_files import MapFiles

if TYPE_CHECKING:
    from swath.geo import Regions
    from swath.maps.layout import MapLayout
    from swath.spec.fields.output import Output
    from swath.storage.publication import Published

WORST_PLACES = 6
"""Number of blocks on the page."""
SCORED = {None: "everything that has a label", 1: "validation split", 2: "test split"}


def unknown_values(totals: ScoreTotals, scoring_input: ScoringInput) -> tuple[list[str], list[str]]:
    """(warnings, notes) on pixels whose value is no class."""
    warnings: list[str] = []
    notes: list[str] = []
    for image, counts in totals.unknown_labels:
        text, doubtful = unknown_labels_text(scoring_input.images[image].labels, counts)
        (warnings if doubtful else notes).append(text)
    if totals.unknown_map:
        text = unknown_text(totals.unknown_map, "the map that have a label")
        warnings.append(f"{text}. They are not scored. Name the map's values in `classes`")
    return warnings, notes


@dataclass(frozen=True)
class Scorecard:
    """The scores of an evaluation."""

    scored: Sequence[RegionScores]
    scoring_input: ScoringInput
    regions: Regions
    errors: MapLayout
    """Layout of the error map."""
    totals: ScoreTotals
    summary: Summary
    of: str
    """Path of the model or the map."""
    draws: int
    object_iou: float | None

    @classmethod
    def of_regions(
        cls,
        scored: Sequence[RegionScores],
        scoring_input: ScoringInput,
        regions: Regions,
        errors: MapLayout,
        *,
        of: str,
        objects: Sequence[str],
        object_iou: float | None,
        draws: int,
        seed: int,
    ) -> Scorecard:
        """Of the scores of all regions. `objects` are the classes whose objects are counted as well; objects match from an IoU of
        `object_iou` on. Raises TaskFailed when no pixel could be compared, and UsageError for an unknown class."""
        totals = sum_scores(scored, regions, len(scoring_input.classes))
        if not totals.matrix.sum():
            why = f"; {totals.unpredicted:,} labelled pixels have no prediction" if totals.unpredicted else ""
            why += "".join(f"; {line}" for line in unknown_values(totals, scoring_input)[0])
            raise TaskFailed(
                f"no pixel has both a label and a prediction{why}",
                remedy="Check the area, the split, and that labels and imagery lie on each other.",
            )
        names = tuple(each.name for each in scoring_input.classes)
        if unknown := [name for name in objects if name not in names]:
            raise UsageError(f"objects: no class is called {unknown[0]!r}", remedy=f"There are {', '.join(names)}.")
        summary = summarise(
            names, totals.counts, draws=draws, seed=seed, unpredicted=totals.unpredicted, trained=totals.trained,
            same_ground=totals.same_ground, calibration=totals.calibration,
            objects=() if object_iou is None else object_scores(scored, regions, scoring_input, objects, object_iou),
        )  # fmt: skip
        return cls(scored, scoring_input, regions, errors, totals, summary, of, draws, object_iou)

    @property
    def where(self) -> str:
        """Which pixels were scored, as text."""
        return SCORED[self.scoring_input.only]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the scores: they are too high, hold for these places only, or leave pixels out."""
        found = list(unknown_values(self.totals, self.scoring_input)[0])
        if self.summary.trained and self.scoring_input.only is None:
            found.append(
                f"{_percent(self.summary.trained, self.summary.pixels)} of the scored pixels were trained on, so the scores are too "
                "high. Score `split: validation` or `split: test`, or another area."
            )
        if self.summary.same_ground:
            found.append(
                f"{_percent(self.summary.same_ground, self.summary.pixels)} of the scored pixels show ground that was trained on in "
                "another image, such as of another date: the scores hold for this ground, and say less about other places."
            )
        return tuple(found)

    @property
    def about(self) -> dict[str, Any]:
        """The model or map, the scored pixels and the images."""
        scenes = [scene for grid in self.scoring_input.grids for scene in grid.scenes]
        images = [f"{each.id}{f', {each.datetime}' if each.datetime else ''}" for each in scenes]
        kind = "imagery" if self.scoring_input.trained else "map"
        return {"scored": self.of, "where": self.where, kind: images, "notes": self.notes or "none"}

    @property
    def notes(self) -> list[str]:
        """Notes on imagery and labels."""
        empty = [name for name, pixels in zip(self.summary.classes, self.summary.support, strict=True) if not pixels]
        without = (
            [f"no scored pixel has the label {', '.join(empty)}: mean scores are those of the other classes"]
            if empty
            else []
        )
        return [*self.scoring_input.notes, *unknown_values(self.totals, self.scoring_input)[1], *without]

    def publish(self, output: Output) -> Published:
        """Write scores, page and error map, and publish them together. Raises what writing raises."""
        occurring = {value for each in self.scored for value, _ in each.map.counts}
        legend = tuple(each for each in error_legend(self.scoring_input.classes) if each.value in occurring)
        files = MapFiles(
            self.scored, self.regions, self.scoring_input.grids, self.errors, output, legend,
            bands=("errors",), subtitle=f"mean IoU {self.summary.overall['mean_iou']}, {self.where}", model=None,
            lineage="Labels and predictions compared; the value is "
            f"label * {len(self.scoring_input.classes)} + prediction",
        )  # fmt: skip
        with files:
            plain = {**self.summary.plain(), "warnings": list(self.warnings), "about": self.about}
            files.add("scores.json", json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
            files.add("scores.html", self._page(output.to.rstrip("/").rpartition("/")[2]))
            facts = files.write()
            return files.publish(
                {
                    "shares": [dataclasses.asdict(each) for each in class_shares(files.legend, facts.counts)],
                    "scores": self.summary.plain(),
                    "numbers": self.summary.numbers(),
                    "valid_pixels": facts.valid,
                    "missing_regions": list(facts.missing),
                    "input": {**self.about, "warnings": list(self.warnings) or "none"},
                }
            )

    def _page(self, title: str) -> str:
        photos = bool(self.scoring_input.trained)
        return render_page(
            title, self.where, self.summary, self.scoring_input.classes, draws=self.draws, object_iou=self.object_iou or 0.5,
            worst=worst_places(self.scored, self.regions, self.scoring_input, self.totals, WORST_PLACES, photos=photos),
            warnings=self.warnings, about=self.about,
        )  # fmt: skip


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 1 else f"less than 1 % ({part:,})"
