"""One frame of the live view: styled text for a terminal of a given size. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterator

from swath import units
from swath.cli.render.terminal_text import width as columns
from swath.reporting.run_progress import NodeProgress, RunProgress, ordered

Piece = tuple[str, str]
"""Text and its style, as rich names it."""
Line = list[Piece]

MARKS = {"open": ("▸", "cyan"), "done": ("✓", "green"), "skipped": ("–", "dim"), "failed": ("✗", "red")}
BAR = " ▏▎▍▌▋▊▉█"


def frame(run: RunProgress, now: float, width: int, height: int) -> list[Line]:
    """A head line and a line per node, at most `width` columns and `height` lines.

    now: seconds since the epoch.
    """
    lines = [_head(run, now)]
    nodes = ordered(run)
    room = max(1, height - 1)
    hidden: list[NodeProgress] = []
    if len(nodes) > room:
        nodes, hidden = _fitting(nodes, room - 1)
    names = {node.name: _label(node) for node in nodes}
    longest = max((columns(name) for name in names.values()), default=0)
    label_width = max(6, min(longest, width // 3))
    lines.extend(_node(node, names[node.name], now, label_width, width) for node in nodes)
    if hidden:
        lines.append([(_hidden(hidden), "dim")])
    return [_cut(line, width) for line in lines]


def _label(node: NodeProgress) -> str:
    return "  " * node.depth + node.name.rpartition("/")[2]


def _head(run: RunProgress, now: float) -> Line:
    end = run.end
    began = run.started if run.started is not None else now
    seconds = end.seconds if end else now - began
    parts: Line = [(run.name or run.pipeline or "run", "bold"), (f"  {run.run}", "dim")]
    if run.cluster and run.workers is not None:
        parts.append((f"  {run.cluster}, {run.workers} {'worker' if run.workers == 1 else 'workers'}", ""))
    elif run.cluster:
        parts.append((f"  {run.cluster}", ""))
    parts.append((f"  {units.duration(seconds)}", ""))
    if run.stopping and not end:
        parts.append((f"  stopping: {run.stopping}", "yellow"))
    return parts


def _fitting(nodes: list[NodeProgress], room: int) -> tuple[list[NodeProgress], list[NodeProgress]]:
    """The nodes to show in `room` lines, and the hidden ones: failed and running nodes are shown first, then the newest."""
    ranked = sorted(
        range(len(nodes)), key=lambda i: (not nodes[i].failed, nodes[i].state != "open", not nodes[i].begun, -i)
    )
    shown = set(ranked[: max(0, room)])
    return [n for i, n in enumerate(nodes) if i in shown], [n for i, n in enumerate(nodes) if i not in shown]


def _hidden(nodes: list[NodeProgress]) -> str:
    counts = {"open": 0, "done": 0, "skipped": 0, "failed": 0}
    for node in nodes:
        counts[node.state] += 1
    return "  … and " + ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def _node(node: NodeProgress, label: str, now: float, label_width: int, width: int) -> Line:
    mark, style = MARKS[node.state]
    if node.state == "skipped":
        return [(f"{mark} {_padded(label, label_width)}  skipped", "dim")]
    if node.state == "failed" and not node.settled:
        return [(f"– {_padded(label, label_width)}  not run", "dim")]
    line: Line = [(f"{mark} ", style), (_padded(label, label_width), "bold" if node.state == "open" else "")]
    total = "?" if node.total is None else str(node.total)
    counts = f"{node.settled}/{total}" if node.settled or node.state == "open" else ""
    rest = list(_figures(node, now))
    used = 2 + label_width + 2 + max(len(counts), 9) + sum(len(text) + 2 for text, _ in rest)
    bar = min(24, width - used - 2)
    if bar >= 6:
        line += [("  ", ""), *_bar(node, bar)]
    line.append((f"  {counts:>9}" if width >= 50 else f" {counts}", ""))
    for text, text_style in rest:
        line += [("  ", ""), (text, text_style)]
    return line


def _figures(node: NodeProgress, now: float) -> Iterator[Piece]:
    if node.failed:
        yield f"{node.failed} failed", "red"
    ended = node.ended is not None
    eta = node.eta_s(now)
    if eta is not None and not ended:
        yield f"ETA {units.duration(eta)}", "cyan"
    if ended:
        yield units.duration(node.seconds), "dim"
    speed = node.calls_per_s(now)
    if speed > 0 and node.total != 1:
        yield units.rate(speed), ""
    pixels = node.pixels_per_s(now)
    if pixels > 0:
        yield units.megapixels(pixels), ""
    if (ground := node.km2_per_s(now)) > 0:
        yield units.ground(ground), ""
    if node.reused:
        yield f"{node.reused} reused", "dim"
    if node.retried:
        yield f"{node.retried} retried", "yellow"


def _bar(node: NodeProgress, width: int) -> Line:
    part = node.fraction
    if part is None:
        return [("·" * width, "dim")]
    eighths = int(part * width * 8)
    full, rest = divmod(eighths, 8)
    text = "█" * full + (BAR[rest] if rest else "")
    return [(text, "red" if node.failed else "green"), ("░" * (width - len(text)), "dim")]


def _padded(text: str, wanted: int) -> str:
    space = wanted - columns(text)
    return text + " " * space if space >= 0 else text[: wanted - 1] + "…"


def _cut(line: Line, width: int) -> Line:
    cut: Line = []
    for text, style in line:
        room = width - sum(columns(t) for t, _ in cut)
        if room <= 0:
            break
        while columns(text) > room:
            text = text[:-1]
        cut.append((text, style))
    return cut
