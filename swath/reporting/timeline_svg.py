"""The timeline of a session as an inline SVG: a row for each worker, coloured by node, with marks where calls failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from swath.reporting.call_statistics import CallStatistics
from swath.reporting.timeline import BINS, TimelineCall, WorkerLane
from swath.units import fine_duration

WIDTH, LEFT, TOP = 960, 136, 8
"""In SVG units; the page scales the picture to its width."""
PLOT = WIDTH - LEFT - 14
_STEPS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10800, 21600, 43200, 86400),
)
_SMALLEST = 0.02
"""A busy fraction below this is not drawn."""


def to_svg(calls: CallStatistics) -> str:
    """The SVG, coloured by the CSS classes k0, k1, ... of the page; empty when no call was executed."""
    timeline = calls.timeline
    if timeline is None:
        return ""
    span = timeline.bin_s * BINS
    high, gap = (18, 7) if len(timeline.lanes) <= 12 else (12, 5)
    lanes = [(lane, TOP + (high + gap) * row) for row, lane in enumerate(timeline.lanes)]
    bottom = TOP + (high + gap) * len(lanes)
    parts: list[str] = []
    if any(timeline.reused):
        parts += _row("reused", f"{calls.reused:,} calls whose result existed already", bottom, high)
        most = max(timeline.reused)
        shares = [max(count / most, 0.25) if count else 0.0 for count in timeline.reused]
        parts.append(f'<path class="kr" d="{_bars(shares, [0.0] * BINS, bottom, high)}"/>')
        bottom += high + gap
    for lane, y in lanes:
        parts += _row(_label(lane.name, timeline.lanes), lane.name or "calls whose worker was lost", y, high)
        parts += _calls(lane, span, y, high) if lane.blocks else _shares(lane, y, high)
        parts += _marks(lane, y)
    height = bottom + 26
    words = f"{len(lanes)} {'worker' if len(lanes) == 1 else 'workers'} over {fine_duration(span)}"
    return "".join(
        [
            f'<svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Timeline of calls: {words}">',
            *_axis(span, bottom),
            *parts,
            "</svg>",
        ]
    )


def _axis(span: float, bottom: float) -> Iterator[str]:
    step = next((step for step in _STEPS if span / step <= 8), 86400 * (1 + span // (8 * 86400)))
    for tick in range(int(span / step) + 1):
        x = LEFT + PLOT * tick * step / span
        yield f'<path class="tick" d="M{x:.1f} {TOP - 4}V{bottom}"/>'
        if x < WIDTH - 30:
            yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{fine_duration(round(tick * step, 3))}</text>'


def _row(label: str, title: str, y: float, high: float) -> Iterator[str]:
    yield f'<text x="{LEFT - 10}" y="{y + high / 2 + 4:.1f}" text-anchor="end">{escape(label)}<title>{escape(title)}</title></text>'
    yield f'<rect class="track" x="{LEFT}" y="{y}" width="{PLOT}" height="{high}"/>'


def _calls(lane: WorkerLane, span: float, y: float, high: float) -> Iterator[str]:
    for block in lane.blocks:
        x, end = LEFT + PLOT * block.start_s / span, LEFT + PLOT * min(block.end_s, span) / span
        yield (
            f'<rect class="k{block.kind}" x="{x:.2f}" y="{y}" width="{max(end - x - 0.6, 1):.2f}" height="{high}">'
            f"<title>{escape(_title(block))}</title></rect>"
        )


def _title(block: TimelineCall) -> str:
    item = "" if block.item is None else f"[{block.item}]"
    return f"{block.node}{item}: {'failed after ' if block.failed else ''}{fine_duration(block.end_s - block.start_s)}"


def _shares(lane: WorkerLane, y: float, high: float) -> Iterator[str]:
    """A path for each kind, its bars stacked on those of the kinds before it."""
    below = [0.0] * BINS
    for kind, shares in enumerate(lane.busy):
        if path := _bars(shares, below, y, high):
            yield f'<path class="k{kind}" d="{path}"/>'
        below = [under + share for under, share in zip(below, shares, strict=True)]


def _bars(shares: Sequence[float], below: Sequence[float], y: float, high: float) -> str:
    """The bars of all bins as one path; neighbours of equal height are joined."""
    wide, path = PLOT / BINS, []
    index = 0
    while index < BINS:
        first, share, under = index, shares[index], below[index]
        while index < BINS and abs(shares[index] - share) < _SMALLEST and abs(below[index] - under) < _SMALLEST:
            index += 1
        if share >= _SMALLEST:
            x, base, tall = LEFT + first * wide, y + high * (1 - under), high * min(share, 1 - under)
            path.append(f"M{x:.1f} {base:.1f}v{-tall:.1f}h{(index - first) * wide:.1f}v{tall:.1f}z")
    return "".join(path)


def _marks(lane: WorkerLane, y: float) -> Iterator[str]:
    """A mark above each bin in which calls failed."""
    for index, count in enumerate(lane.failed):
        if count:
            x = LEFT + PLOT * (index + 0.5) / BINS
            yield f'<path class="fault" d="M{x:.1f} {y + 1}l-4 -6h8z"><title>{count:,} failed</title></path>'


def _label(name: str, lanes: Iterable[WorkerLane]) -> str:
    """A worker's name in at most 19 characters: without the host when all have the same, else shortened in the middle."""
    hosts = {lane.name.rpartition(":")[0] for lane in lanes if ":" in lane.name}
    if ":" in name and len(hosts) == 1:
        name = f"process {name.rpartition(':')[2]}"
    name = name or "lost"
    return name if len(name) <= 19 else f"{name[:10]}…{name[-8:]}"
