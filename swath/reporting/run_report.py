"""Report of a run as JSON and as an HTML page: input, output, calls, failures, versions, and how to repeat it."""

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
"""A preview up to this size is embedded in the page."""
LISTED = 1000
"""Items that were set aside, listed in the JSON; the page lists a tenth of it. `pipe logs RUN --failed` has all."""


@dataclass(frozen=True)
class RunFacts:
    """Everything in the report of a run. Plain values only."""

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
    """As written, with references to the environment unresolved."""
    overrides: tuple[str, ...] = ()
    cluster: str = ""
    workers: int = 0
    error: str = ""
    calls: CallStatistics | None = None
    """Of this session."""
    set_aside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was guessed or corrected in the spec."""
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    """See swath.project.provenance.CodeSource; empty outside of a repository."""
    command: str = ""
    """The command line that repeats the run in the project's folder."""
    result: dict[str, Any] = field(default_factory=dict)
    """Facts that the pipeline's result gives. Of a map: input, seams, shares, files."""
    cost_usd: float | None = None
    """Of the machines of this session, at list prices; None where nothing is paid for, or a price is not known."""
    machines: tuple[dict[str, Any], ...] = ()
    """Of this session, in a cloud: role, type, spot, place, count, hours, usd."""
    first_started: float | None = None
    """Start of the run, if this session resumed it."""
    caveat: str = ""
    """Why the command may give another result."""
    table: Sequence[dict[str, Any]] = ()
    """Of a matrix: a row for each variant, see swath.runner.variant_table.VariantRow."""


def write_report(folder: Path, facts: RunFacts, preview: Path | None = None) -> list[Path]:
    """Write report.json and report.html to a folder, whatever lies there. Returns their paths. preview: a PNG for the page."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in (("report.json", to_json(facts)), ("report.html", to_html(facts, preview))):
        path = folder / name
        temporary = path.with_name(f".{name}.partial")
        temporary.unlink(missing_ok=True)  # of a run that was killed, or a link that came with the folder
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
        paths.append(path)
    return paths


def to_json(facts: RunFacts) -> str:
    """One JSON object; facts of the result and of the calls are at the same level as those of the run."""
    fields = dataclasses.asdict(facts)
    result, calls = fields.pop("result"), fields.pop("calls") or {}
    fields |= {"set_aside": facts.set_aside[:LISTED], "set_aside_count": len(facts.set_aside)}
    if timeline := calls.pop("timeline", None):
        for lane in timeline["lanes"]:
            del lane["blocks"]  # for the SVG; the journal has every call
        calls["timeline"] = timeline
    return json.dumps(_plain(_rounded(calls) | fields | result), ensure_ascii=False, indent=2) + "\n"


def to_html(facts: RunFacts, preview: Path | None = None) -> str:
    """One HTML page without external files."""
    picture = ""
    if (
        preview is not None
        and preview.is_file()
        and not preview.is_symlink()
        and preview.stat().st_size <= PREVIEW_BYTES
    ):
        picture = "data:image/png;base64," + base64.b64encode(preview.read_bytes()).decode()
    page = _template().render(
        facts=facts,
        result=facts.result,
        picture=picture,
        seconds=facts.finished - facts.started,
        seams=seam_text(facts.result),
        speed=speed_text(facts),
        calls=facts.calls,
        timeline=to_svg(facts.calls) if facts.calls else "",
        colors={name: index for index, name in enumerate(_kinds(facts.calls))},
        listed=LISTED // 10,
    )
    return page + "\n"


@cache
def _template() -> Template:
    """Compiled once: a run writes the page to its folder and beside each map."""
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


def seam_text(result: dict[str, Any]) -> str:
    """The seam certificate as text; empty when the result has none."""
    seams = result.get("seams")
    if not seams:
        return ""
    differing = "none differs" if not seams["differing"] else f"{units.number(seams['differing'])} differ"
    check = (
        f"{units.number(seams['pixels'])} pixels in {seams['windows']} windows across borders of regions were computed again with "
        f"another tiling: {differing}."
    )
    model = (
        f"The network's receptive radius is {seams['radius']} pixels at a stride of {seams['stride']}; "
        f"regions were read with {seams['halo']} pixels around them."
    )
    if seams.get("tile"):
        model = f"Tiles of {seams['tile']} pixels lie on one lattice, which begins at the imagery's first pixel."
    if seams.get("excess"):
        check += (
            f" Its tiles overlap and are blended: across their borders the map changes {seams['excess']:g} times as often as "
            "beside them."
        )
    if seams.get("compared"):
        by = f" by {seams['runtime']}" if seams.get("runtime") else ""
        share = math.floor(1e6 * seams["agreement"]) / 1e4  # 100 % only where all agree
        check += (
            f" It was computed{by} in {seams['precision']}: {share:g} % of {units.number(seams['compared'])} "
            "pixels have the class that the file's own runtime gives in float32."
        )
    if seams.get("runtime_reason"):
        check += f" Runtime {seams['runtime']}, {seams['precision']}: {seams['runtime_reason']}."
    if seams["exact"]:
        return f"This map has no seams: each pixel has the value of one pass over the whole image. {model} {check}"
    return f"This map is not exact: {seams['reason']}. {model} {check}"


def speed_text(facts: RunFacts) -> str:
    """How fast and at what cost a map was made, as text; empty without a map, and for a session that reused results of others."""
    megapixels, km2 = facts.result.get("megapixels"), facts.result.get("ground_km2")
    seconds = facts.finished - facts.started
    if not megapixels or seconds <= 0 or facts.first_started is not None or (facts.calls and facts.calls.reused):
        return f"Its machines cost {facts.cost_usd:.3g} USD." if facts.cost_usd is not None else ""
    whole = units.duration(seconds)
    speeds = [units.megapixels(1e6 * megapixels / seconds), *([units.ground(km2 / seconds)] if km2 else [])]
    text = f"The whole run made {units.significant(megapixels)} Mpx in {whole}: {', '.join(speeds)}."
    if facts.cost_usd is not None:
        text += f" Its machines cost {facts.cost_usd:.3g} USD"
        text += f", {1000 * facts.cost_usd / km2:.3g} USD per 1,000 km2." if km2 else "."
    return text


def _kinds(calls: CallStatistics | None) -> tuple[str, ...]:
    """Names for the legend of the timeline."""
    return calls.timeline.kinds if calls is not None and calls.timeline is not None else ()


def _rounded(value: Any) -> Any:
    """Floats rounded to microseconds, the resolution of the measurement."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    """Values that JSON has: NaN and infinity as text, tuples as lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
