"""A graph drawn as text, a line per node with edges to its dependents beside it; and as Graphviz source."""

from __future__ import annotations

from collections.abc import Iterator

from swath.cli.render.graph_outline import Outline, OutlineNode

ASCII = str.maketrans("│─●◆├┤┬┴┼╭╮╰╯×", "|-o#|++++.+'+x")


def draw(outline: Outline, *, unicode: bool = True) -> list[str]:
    """Lines of the drawing. A node is `●`, a step `◆` with its own nodes indented below it."""
    lines = list(_lines(outline))
    return lines if unicode else [line.translate(ASCII) for line in lines]


def _lines(outline: Outline) -> Iterator[str]:
    rows = list(_rows(outline))
    width = max((len(row) for _, row, _, _ in rows), default=0)
    for number, (above, row, below, part) in enumerate(rows):
        if number:
            yield above
        remark = f"  [{part.remark}]" if part.remark else ""
        yield f"{row:<{width}}  {part.name}{remark}"
        if part.step is not None:
            yield from _inside(part.step, below, width)


def _rows(outline: Outline) -> Iterator[tuple[str, str, str, OutlineNode]]:
    """For each node: the edges above its row, the row itself, the edges below."""
    columns: list[str | None] = []
    left = {part.name: {p.name for p in outline.parts if part.name in p.needs} for part in outline.parts}
    for part in outline.parts:
        above = _edges(columns)
        for needed in part.needs:
            left[needed].discard(part.name)
        own, row = _place(part, columns, left)
        columns[own] = part.name if left[part.name] else None
        yield above, row, _edges(columns), part
        while columns and columns[-1] is None:
            columns.pop()


def _inside(step: Outline, edges: str, width: int) -> Iterator[str]:
    for line in _lines(step):
        yield f"{edges:<{width}}    {line}".rstrip()


def _edges(columns: list[str | None]) -> str:
    return " ".join("│" if column else " " for column in columns).rstrip()


def _place(part: OutlineNode, columns: list[str | None], left: dict[str, set[str]]) -> tuple[int, str]:
    """The node's column, and the row that joins it to its dependencies. Columns whose last dependent it is are freed."""
    joined = {i for i, column in enumerate(columns) if column in part.needs}
    ending = {i for i in joined if not left[columns[i] or ""]}
    own = (
        min(ending)
        if ending
        else next((i for i, column in enumerate(columns) if column is None and i > max(joined, default=-1)), -1)
    )
    if own < 0:
        own = len(columns)
        columns.append(None)
    marker = "◆" if part.step is not None or part.unopened else "●"
    low, high = min({own, *joined}), max({own, *joined})
    row = []
    for i, column in enumerate(columns):
        if i == own:
            row.append(marker)
        elif i in joined:
            row.append(_corner(i, low, high, ends=i in ending))
        else:
            row.append("│" if column else "─" if low < i < high else " ")
        row.append("─" if low <= i < high else " ")
    for i in ending:
        columns[i] = None
    return own, "".join(row).rstrip()


def _corner(column: int, low: int, high: int, *, ends: bool) -> str:
    if column == low:
        return "╰" if ends else "├"
    if column == high:
        return "╯" if ends else "┤"
    return "┴" if ends else "┼"


def dot(outline: Outline) -> str:
    """The graph for Graphviz. Mapped nodes are stacked, steps are boxes, a dashed arrow decides whether a node runs."""
    lines = [f"digraph {_quoted(outline.pipeline)} {{", "  rankdir=TB;", "  node [shape=box, style=rounded];"]
    lines += _dot_nodes(outline, "", "  ")
    lines.append("}")
    return "\n".join(lines)


def _dot_nodes(outline: Outline, prefix: str, indent: str) -> Iterator[str]:
    for part in outline.parts:
        name = prefix + part.name
        if part.step is not None:
            yield f"{indent}subgraph {_quoted('cluster_' + name)} {{"
            yield f"{indent}  label={_quoted(part.name + (' [' + part.remark + ']' if part.remark else ''))};"
            yield f"{indent}  {_quoted(name)} [shape=point];"
            yield from _dot_nodes(part.step, name + "/", indent + "  ")
            yield f"{indent}}}"
        else:
            label = part.name + (f"\n{part.remark}" if part.remark else "")
            yield f"{indent}{_quoted(name)} [label={_quoted(label)}{', peripheries=2' if part.mapped else ''}];"
        decides = part.when.partition(".")[0].partition("[")[0]
        for needed in part.needs:
            yield f"{indent}{_quoted(prefix + needed)} -> {_quoted(name)}{' [style=dashed]' if needed == decides else ''};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
