"""The report of a run: what ran, on what, how long, with which versions, and what came out; as JSON and as a page to read."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath import units
from swath.reporting.call_statistics import CallStatistics
from swath.reporting.timeline_svg import to_svg

if TYPE_CHECKING:
    from jinja2 import Template

PREVIEW_BYTES = 1_500_000
"""A preview up to this size is put into the page itself."""
LISTED = 1000
"""Calls that were set aside, listed one by one; the page lists a tenth. `pipe logs RUN` has them all."""


@dataclass(frozen=True)
class RunFacts:
    """Everything that the report of a run says. Plain values only."""

    run: str
    name: str
    pipeline: str
    status: str
    exit_code: int
    started: float
    """Start of this session, seconds since the epoch."""
    finished: float
    spec: str
    """Path of the spec."""
    spec_text: str
    """As written; references to the environment are not resolved in it."""
    overrides: tuple[str, ...] = ()
    cluster: str = ""
    workers: int = 0
    error: str = ""
    account: CallStatistics | None = None
    """What the calls of this session came to."""
    set_aside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was repaired or guessed."""
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    """commit, branch, dirty and more (see swath.project.provenance.CodeSource); empty outside of a repository."""
    command: str = ""
    """The line that does it again, given in the project's folder."""
    result: dict[str, Any] = field(default_factory=dict)
    """What the pipeline's result says of itself. Of a map: area, imagery, model, seams, shares, files."""
    first_started: float | None = None
    """When the run was first started, if this session took it up again."""
    caveat: str = ""
    """Why the command may not give the same."""
    table: Sequence[dict[str, Any]] = ()
    """Of a matrix: what became of each variant, a row each (see swath.runner.variant_table.VariantRow)."""


def write_report(folder: Path, facts: RunFacts, preview: Path | None = None) -> list[Path]:
    """Write report.json and report.html to `folder`; `preview` is a picture for the page. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, text in (("report.json", to_json(facts)), ("report.html", to_html(facts, preview))):
        path = folder / name
        temporary = path.with_name(f".{name}.partial")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
        made.append(path)
    return made


def to_json(facts: RunFacts) -> str:
    """The facts as one JSON object; those of the result and of the calls stand beside those of the run."""
    fields = dataclasses.asdict(facts)
    result, account = fields.pop("result"), fields.pop("account") or {}
    fields |= {"set_aside": facts.set_aside[:LISTED], "set_aside_count": len(facts.set_aside)}
    if timeline := account.pop("timeline", None):
        for lane in timeline["lanes"]:
            del lane["blocks"]  # for the picture; the journal has every call
        account["timeline"] = timeline
    return json.dumps(_plain(_shortened(account) | fields | result), ensure_ascii=False, indent=2) + "\n"


def to_html(facts: RunFacts, preview: Path | None = None) -> str:
    """A page that needs nothing else."""
    picture = ""
    if preview is not None and preview.is_file() and preview.stat().st_size <= PREVIEW_BYTES:
        picture = "data:image/png;base64," + base64.b64encode(preview.read_bytes()).decode()
    page = _template().render(
        facts=facts,
        result=facts.result,
        picture=picture,
        seconds=facts.finished - facts.started,
        seams=seam_words(facts.result),
        account=facts.account,
        timeline=to_svg(facts.account) if facts.account else "",
        colors={name: index for index, name in enumerate(_told_apart(facts.account))},
        listed=LISTED // 10,
    )
    return page + "\n"


@cache
def _template() -> Template:
    """Compiled once: a run writes the page to its folder and beside its map."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("swath.reporting", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "duration": units.duration,
        "fine_duration": lambda seconds: units.fine_duration(seconds) if seconds else "",
        "number": units.number,
        "percent": lambda fraction: "" if fraction is None else units.percent(fraction),
        "size": units.size,
        "utc_time": units.utc_time,
    }
    return environment.get_template("run_report.html.j2")


def seam_words(result: dict[str, Any]) -> str:
    """The seam certificate in words; empty when the result has none."""
    seams = result.get("seams")
    if not seams:
        return ""
    looked = (
        f"{units.number(seams['pixels'])} pixels in {seams['windows']} windows across borders of regions were computed again with "
        f"another tiling: {'none differs' if not seams['differing'] else units.number(seams['differing']) + ' differ'}."
    )
    field_ = (
        f"The network looks {seams['radius']} pixels far on a lattice of {seams['stride']}; "
        f"regions were read with {seams['halo']} pixels around them."
    )
    if seams.get("excess"):
        looked += (
            f" Its tiles overlap and are blended: across their borders the map changes {seams['excess']:g} times as often as "
            "beside them."
        )
    if seams.get("compared"):
        looked += (
            f" It was computed in {seams['precision']}: {100 * seams['agreement']:.2f} % of {units.number(seams['compared'])} pixels "
            "have the class that float32 gives."
        )
    if seams["exact"]:
        return f"This map has no seams: each pixel has the value of one pass over the whole image. {field_} {looked}"
    return f"This map is not exact: {seams['reason']}. {field_} {looked}"


def _told_apart(account: CallStatistics | None) -> tuple[str, ...]:
    return account.timeline.kinds if account is not None and account.timeline is not None else ()


def _shortened(value: Any) -> Any:
    """Times to the microsecond: nobody measured more, and the digits fill the file."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _shortened(part) for key, part in value.items()}
    return [_shortened(part) for part in value] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    """JSON has no NaN and no tuples."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
