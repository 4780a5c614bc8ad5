"""The drawing of a graph shows every dependency."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swath.cli.render.example_spec import example_graph
from swath.cli.render.graph_outline import Outline, OutlineNode, outline
from swath.cli.render.graph_text import dot, draw
from swath.graph.either import either
from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec


class Numbers(Spec):
    count: int
    names: tuple[str, ...]


@task
def first(x: Any) -> Any:
    return x


@task
def second(x: Any, y: Any = None) -> Any:
    return x


@pipeline
def inner(spec: Numbers) -> Any:
    return second.map([1, 2, 3], y=first(spec.count))


@pipeline
def outer(spec: Numbers) -> Any:
    """Everything that a graph can have."""
    a = first(spec.count)
    parts = second.map(a, y=a)
    dry = second(parts, when=a.dry)
    step = inner({"count": 1, "names": []}, when=a.wet)
    later = inner(parts)
    return either(dry, step, later)


@pipeline
def branches(spec: Numbers) -> Any:
    return first(spec.count) if spec.count > 3 else [first(name) for name in spec.names]


def test_mapped_nodes_conditions_and_the_inside_of_steps_are_drawn() -> None:
    lines = draw(outline(example_graph(outer), counted=False))
    assert lines == [
        "●      first",
        "│",
        "├─●    second  [map over first]",
        "│ │",
        "├─┼─●  second-2  [when first.dry]",
        "│ │ │",
        "◆ │ │  inner  [when first.wet]",
        "│ │ │    ●  first",
        "│ │ │    │",
        "│ │ │    ●  second  [map]",
        "│ │ │",
        "│ ◆ │  inner-2",
        "│ │ │    ●  first",
        "│ │ │    │",
        "│ │ │    ●  second  [map]",
        "│ │ │",
        "●─┴─╯  either",
    ]


def test_a_plain_terminal_gets_plain_signs() -> None:
    assert all(line.isascii() for line in draw(outline(example_graph(outer)), unicode=False))


def test_the_number_of_calls_is_said_when_it_is_known() -> None:
    spec = {"count": 4, "names": []}
    assert "[× 3]" in "\n".join(draw(outline(inner.build(spec))))


def test_dot_has_every_node_and_edge_and_quotes_names() -> None:
    text = dot(outline(example_graph(outer)))
    assert '"first" -> "second";' in text
    assert '"first" -> "second-2" [style=dashed];' in text
    assert 'subgraph "cluster_inner"' in text
    assert text.count("{") == text.count("}")


@given(st.lists(st.sets(st.integers(0, 11), max_size=4), min_size=1, max_size=12))
def test_every_dependency_can_be_followed_along_the_lines(wanted: list[set[int]]) -> None:
    needs = [tuple(f"n{j}" for j in sorted(some) if j < i) for i, some in enumerate(wanted)]
    parts = tuple(OutlineNode(f"n{i}", f"n{i}", need, "", False, None, "") for i, need in enumerate(needs))
    lines = draw(Outline("p", parts, ()))
    assert [line.split()[-1] for line in lines[::2]] == [part.name for part in parts]
    assert _followed(lines) == {(need, part.name) for part in parts for need in part.needs}


def _followed(lines: list[str]) -> set[tuple[str, str]]:
    """Edges that an eye finds: whose result each lane carries, and which lanes a node's row touches."""
    lanes: dict[int, str] = {}
    edges = set()
    for row, line in enumerate(lines):
        if row % 2:
            lanes = {column: name for column, name in lanes.items() if line[column : column + 1] == "│"}
            continue
        name = line.split()[-1]
        own = line.index("●")
        touched = [
            c for c, sign in enumerate(line[: line.index(name)]) if sign in "├┤┼╯╰┴" or (c == own and c in lanes)
        ]
        edges |= {(lanes[c], name) for c in touched}
        for c in touched:
            if line[c] in "╯╰┴":
                del lanes[c]
        lanes[own] = name
    return edges
