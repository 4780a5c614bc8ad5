"""The scorecard of an evaluation: the scores of all regions together, and what is published of them: numbers, page, map of errors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swath.errors import TaskFailed, UsageError
from swath.evaluation.inspection import object_scores, worst_places
from swath.evaluation.page import render_page
from swath.evaluation.scoring import RegionScores, ScoreTotals, ScoringInput, error_legend, sum_scores
from swath.evaluation.summary import Summary, summarise
from swath.maps.legend import class_shares
from swath.maps.map_files import MapFiles

if TYPE_CHECKING:
    from swath.geo import Regions
    from swath.maps.layout import MapLayout
    from swath.spec.fields.output import Output
    from swath.storage.publication import Published

WORST = 6
"""So many of the worst places are shown."""
PLACES = {None: "everything that has a label", 1: "validation split", 2: "test split"}


@dataclass(frozen=True)
class Scorecard:
    """What came out of an evaluation."""

    scored: Sequence[RegionScores]
    subject: ScoringInput
    regions: Regions
    errors: MapLayout
    """How the map of errors is laid out."""
    found: ScoreTotals
    summary: Summary
    of: str
    """Path of the model or the map."""
    draws: int
    object_iou: float | None

    @classmethod
    def of_regions(
        cls,
        scored: Sequence[RegionScores],
        subject: ScoringInput,
        regions: Regions,
        errors: MapLayout,
        *,
        of: str,
        objects: Sequence[str],
        object_iou: float | None,
        draws: int,
        seed: int,
    ) -> Scorecard:
        """Put the regions' scores together. `objects` are the classes whose objects are counted as well, found from an overlap of
        `object_iou` on. Raises TaskFailed when nothing could be compared, and UsageError for a class that is not there."""
        found = sum_scores(scored, regions, len(subject.classes))
        if not found.whole.sum():
            why = f"; {found.unpredicted:,} labelled pixels have no prediction" if found.unpredicted else ""
            raise TaskFailed(
                f"no pixel has both a label and a prediction{why}",
                remedy="Check the area, the split, and that labels and imagery lie on each other.",
            )
        names = tuple(each.name for each in subject.classes)
        if strangers := [name for name in objects if name not in names]:
            raise UsageError(f"objects: no class is called {strangers[0]!r}", remedy=f"There are {', '.join(names)}.")
        summary = summarise(
            names, found.counts, draws=draws, seed=seed, unpredicted=found.unpredicted, trained=found.trained,
            calibration=found.calibration,
            objects=() if object_iou is None else object_scores(scored, regions, subject, objects, object_iou),
        )  # fmt: skip
        return cls(scored, subject, regions, errors, found, summary, of, draws, object_iou)

    @property
    def where(self) -> str:
        """In words."""
        return PLACES[self.subject.only]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the scores are not to be believed."""
        if not self.summary.trained or self.subject.only is not None:
            return ()
        share = 100 * self.summary.trained / self.summary.pixels
        return (
            f"{share:.0f} % of the scored pixels were trained on, so the scores are too good. Score `split: validation` or "
            "`split: test`, or another area.",
        )

    @property
    def about(self) -> dict[str, Any]:
        """What was scored, and on what."""
        scenes = [scene for grid in self.subject.grids for scene in grid.scenes]
        images = [f"{each.id}{f', {each.datetime}' if each.datetime else ''}" for each in scenes]
        kind = "imagery" if self.subject.trained else "map"
        return {"scored": self.of, "where": self.where, kind: images, "notes": list(self.subject.notes) or "none"}

    def publish(self, output: Output) -> Published:
        """Write scores, page and map of errors, and put them in their place together."""
        occurring = {value for each in self.scored for value, _ in each.map.counts}
        legend = tuple(each for each in error_legend(self.subject.classes) if each.value in occurring)
        files = MapFiles(
            self.scored, self.regions, self.subject.grids, self.errors, output, legend,
            bands=("errors",), subtitle=f"mean IoU {self.summary.overall['mean_iou']}, {self.where}", model=None,
            lineage="Labels and predictions compared; the value is "
            f"label * {len(self.subject.classes)} + prediction",
        )  # fmt: skip
        with files:
            plain = {**self.summary.plain(), "about": self.about}
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
        photos = bool(self.subject.trained)
        return render_page(
            title, self.where, self.summary, self.subject.classes, draws=self.draws, object_iou=self.object_iou or 0.5,
            worst=worst_places(self.scored, self.regions, self.subject, self.found, WORST, photos=photos),
            warnings=self.warnings, about=self.about,
        )  # fmt: skip
