"""Changes one value in the text of a YAML document. All else stays as it was written: comments, order of keys, quotes, blank lines."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from swath.errors import SpecError, UsageError
from swath.spec.yaml.document import Path, dotted, parse
from swath.spec.yaml.write import block, flow, is_inline, item, key_text

_FILE = "spec"


class EditRefused(UsageError):
    """The text is written in a way in which this value cannot be changed alone."""


@dataclass
class _Node:
    """A value's place in the text: characters start to end, without the comments around it."""

    start: int
    end: int
    kind: str
    """`scalar`, `map` or `list`."""
    flow: bool
    """Whether it is a collection in braces or brackets, or within one."""
    within: bool
    """Whether it is within a collection in braces or brackets: all in it has to be so."""
    entries: list[_Entry] = field(default_factory=list)


@dataclass
class _Entry:
    """A key of a mapping with its value, or an item of a list."""

    key: str | int
    start: int
    """Of the key, or of the item's dash; in a list in brackets of the item."""
    head: int
    """Where the value may begin: behind the colon or the dash."""
    node: _Node


def set_value(text: str, path: Path, value: Any, order: Sequence[str] = ()) -> str:
    """The text with one value set; keys on the way that are missing are added. order: keys of the mapping that gets a new key, which
    comes behind the last of those before it. Raises SpecError for text that is no YAML, EditRefused."""
    document = parse(text, _FILE)
    data = copy.deepcopy(document.data)
    wanted = _with_value(data, path, value)
    root = _read(text)
    if not path:
        return _checked(block(value, 0) + "\n", value, path)
    if root is None or document.data is None:
        start = text if not text or text.endswith("\n") else f"{text}\n"
        return _checked(start + block(wanted, 0) + "\n", wanted, path)
    node, entry, depth = root, None, 0
    while depth < len(path) and (found := _entry(node, path[depth])) is not None:
        entry, node, depth = found, found.node, depth + 1
    rest = path[depth:]
    if not rest:
        return _checked(_replace(text, entry, node, value), wanted, path)
    new = _nested(rest[1:], value)
    if not node.entries or (node.kind == "map") != isinstance(rest[0], str):
        return _checked(_replace(text, entry, node, _nested(rest, value)), wanted, path)
    add = _add_flow if node.flow else _add_block
    return _checked(add(text, node, rest[0], new, order), wanted, path)


def remove_value(text: str, path: Path) -> str:
    """The text without a key or an item. Its comment on the same line goes, those above stay. Raises as `set_value`."""
    document = parse(text, _FILE)
    data = copy.deepcopy(document.data)
    holder = data
    for segment in path[:-1]:
        holder = holder[segment]
    del holder[path[-1]]
    node, entry = _read(text), None
    for segment in path[:-1]:
        assert node is not None
        entry = _entry(node, segment)
        assert entry is not None
        node = entry.node
    assert node is not None
    if len(node.entries) == 1:
        if entry is None:  # the document's only key: its comments stay
            only = node.entries[0]
            return _checked(text[: only.start] + text[only.node.end :], None, path)
        return _checked(_replace(text, entry, node, {} if node.kind == "map" else []), data, path)
    index = next(number for number, each in enumerate(node.entries) if each.key == path[-1])
    return _checked((_cut_flow if node.flow else _cut_block)(text, node, index), data, path)


# --- reading


def _read(text: str) -> _Node | None:
    """The places of all values; None for a document without one."""
    import yaml

    events: Iterator[Any] = yaml.parse(
        text.removeprefix("\ufeff"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            return _node(text, next(events), events, within_flow=False)
    return None


def _node(text: str, event: Any, events: Iterator[Any], *, within_flow: bool) -> _Node:
    import yaml

    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent)):
        if getattr(event, "style", None) in ("|", ">"):
            end = start + len(text[start:end].rstrip())
        return _Node(start, end, "scalar", within_flow, within_flow)
    is_map, is_flow = isinstance(event, yaml.MappingStartEvent), within_flow or bool(event.flow_style)
    node = _Node(start, start, "map" if is_map else "list", is_flow, within_flow)
    seen: set[str | int] = set()
    while True:
        inner: Any = next(events)
        end = inner.end_mark.index
        if isinstance(inner, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            break
        if is_map:
            name = _node(text, inner, events, within_flow=is_flow)
            value = _node(text, next(events), events, within_flow=is_flow)
            key: str | int = getattr(inner, "value", "")
            colon = text.find(":", name.end, max(value.start, name.end) + 1)
            entry = _Entry(key, name.start, name.end if colon < 0 else colon + 1, value)
        else:
            value = _node(text, inner, events, within_flow=is_flow)
            key = len(node.entries)
            dash = value.start if is_flow else _dash(text, _column(text, start), value.start)
            entry = _Entry(key, dash, value.start if is_flow else dash + 1, value)
        value.start, value.end = max(value.start, entry.head), max(value.end, entry.head)
        if key not in seen:  # of a key that is there twice the first one counts, as in the document
            seen.add(key)
            node.entries.append(entry)
        node.end = value.end
    if is_flow:
        node.end = end
    return node


def _dash(text: str, column: int, at: int) -> int:
    """The dash of an item of a list whose dashes are at a column."""
    line = _line_start(text, at)
    while text[line + column : line + column + 1] != "-":
        if line == 0:
            raise EditRefused("the list is written in a way that is changed in the text only")
        line = _line_start(text, line - 1)
    return line + column


def _entry(node: _Node, key: str | int) -> _Entry | None:
    return next((each for each in node.entries if each.key == key), None)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _column(text: str, at: int) -> int:
    return at - _line_start(text, at)


# --- writing


def _replace(text: str, entry: _Entry | None, node: _Node, value: Any) -> str:
    head, tail = text[: node.start], text[node.end :]
    if entry is None or node.within:
        return head + (flow(value) if node.within else block(value, _column(text, node.start))) + tail
    if isinstance(entry.key, int):
        between = text[entry.head : node.start]
        column = _column(text, entry.start) + 2
        if "\n" in between:
            return text[: entry.head] + " " + block(value, column) + between.rstrip() + tail
        return text[: entry.head] + (between or " ") + block(value, column + max(0, len(between) - 1)) + tail
    gap = text[entry.head : node.start]
    if is_inline(value):
        if "\n" in gap:
            tail = text[_line_end(text, node.end) :]  # a comment behind the last value of a collection goes with it
            return text[: entry.head] + " " + flow(value) + gap.rstrip() + tail
        return text[: entry.head] + (gap or " ") + flow(value) + tail
    indent = _column(text, entry.start) + 2
    if "\n" in gap:
        same = node.kind == ("map" if isinstance(value, dict) else "list")
        indent = _column(text, node.start) if same else indent
        return text[: entry.head] + gap.rstrip() + "\n" + " " * indent + block(value, indent) + tail
    end = _line_end(text, node.end)
    rest = text[node.end : end].rstrip()
    return text[: entry.head] + rest + "\n" + " " * indent + block(value, indent) + text[end:]


def _add_flow(text: str, node: _Node, key: str | int, value: Any, order: Sequence[str]) -> str:
    after = _before(node, key, order)
    new = flow(value) if isinstance(key, int) else f"{key_text(key)}: {flow(value)}"
    return f"{text[: after.node.end]}, {new}{text[after.node.end :]}"


def _add_block(text: str, node: _Node, key: str | int, value: Any, order: Sequence[str]) -> str:
    after = _before(node, key, order)
    column = _column(text, node.entries[0].start)
    at = _line_end(text, after.node.end)
    new = item(value, column) if isinstance(key, int) else block({key: value}, column)
    return f"{text[:at]}\n{' ' * column}{new}{text[at:]}"


def _before(node: _Node, key: str | int, order: Sequence[str]) -> _Entry:
    """The entry behind which a new one comes."""
    if key in order:
        earlier = set(order[: list(order).index(str(key))])
        found = [each for each in node.entries if each.key in earlier]
        return found[-1] if found else node.entries[-1]
    return node.entries[-1]


def _cut_flow(text: str, node: _Node, index: int) -> str:
    if index + 1 < len(node.entries):
        return text[: node.entries[index].start] + text[node.entries[index + 1].start :]
    return text[: node.entries[index - 1].node.end] + text[node.entries[index].node.end :]


def _cut_block(text: str, node: _Node, index: int) -> str:
    entry = node.entries[index]
    line = _line_start(text, entry.start)
    if not text[line : entry.start].strip():
        return text[:line] + text[_line_end(text, entry.node.end) + 1 :]
    return text[: entry.start] + text[node.entries[index + 1].start :]  # the first key of an item, behind its dash


# --- what is to come of it


def _with_value(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    if data is None or data in ({}, []) or isinstance(data, dict) != isinstance(path[0], str) or not _holds(data):
        return _nested(path, value)
    if isinstance(data, list):
        index = int(path[0])
        return [
            *data[:index],
            _with_value(data[index] if index < len(data) else None, path[1:], value),
            *data[index + 1 :],
        ]
    return {**data, path[0]: _with_value(data.get(path[0]), path[1:], value)}


def _holds(data: Any) -> bool:
    return isinstance(data, (dict, list))


def _nested(path: Path, value: Any) -> Any:
    for segment in reversed(path):
        value = [value] if isinstance(segment, int) else {segment: value}
    return value


def _checked(text: str, wanted: Any, path: Path) -> str:
    """The text, if it says what is wanted and nothing else."""
    refused = EditRefused(f"{dotted(path)}: the text is written in a way that is changed in the text only")
    try:
        if _same(parse(text, _FILE).data, wanted):
            return text
    except SpecError:
        raise refused from None
    raise refused


def _same(one: Any, other: Any) -> bool:
    """Equality that tells 1, 1.0 and true apart, and the order of keys."""
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and (one == other or (one != one and other != other))
