"""YAML as plain data with places: the safe subset, and that nothing but a SpecError ever comes out."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import SpecError
from swath.spec.yaml.document import MAX_BYTES, MAX_DEPTH, Document, parse, read

LOADERS = ["CSafeLoader", "SafeLoader"]


@pytest.fixture(params=LOADERS)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both parsers: libyaml's, and the one in Python where libyaml is not there."""
    if request.param == "SafeLoader":
        monkeypatch.delattr(yaml, "CSafeLoader")
    return str(request.param)


def mistakes(text: str) -> list[str]:
    """Every mistake of a text as `line:column: field: message`."""
    try:
        found = parse(text, "f.yaml").mistakes
    except SpecError as error:
        found = tuple(error.mistakes)
    return [str(mistake).removeprefix("f.yaml:") for mistake in found]


def only(text: str) -> str:
    (found,) = mistakes(text)
    return found


def sound(text: str) -> Document:
    document = parse(text, "f.yaml")
    assert document.mistakes == ()
    return document


class _Quoted(yaml.SafeDumper):
    """PyYAML writes by YAML 1.1, where 0o7 and 1e5 are text: put all text in quotes."""


_Quoted.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))

# As in libyaml, U+FEFF, NEL, LS and PS are written as escapes by the dumper.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False) | texts
data = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@given(data)
def test_any_plain_data_dumped_as_yaml_loads_equal(value: Any) -> None:
    for flow in (True, False):
        text = yaml.dump(value, Dumper=_Quoted, default_flow_style=flow, allow_unicode=False)
        assert sound(text).data == value


@given(st.dictionaries(texts, data, min_size=1, max_size=4), st.sampled_from([None, 2]))
def test_every_mark_points_at_its_value(value: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=True)
    if "\\ud" in text or "Infinity" in text:  # JSON's surrogate pairs and infinities are not YAML
        return
    document = sound(text)
    lines = text.split("\n")
    for path, mark in document.marks.items():
        rest = "\n".join([lines[mark.line - 1][mark.column - 1 :], *lines[mark.line :]])
        found, _ = json.JSONDecoder().raw_decode(rest)
        assert found == document.at(path)
        if path and isinstance(path[-1], str):
            key, _ = json.JSONDecoder().raw_decode(lines[mark.key_line - 1][mark.key_column - 1 :])
            assert key == path[-1]


@given(st.text(max_size=80) | st.text(" \n\t:-[]{}?&*!|>'\"%@,#ab1.\\", max_size=60))
def test_random_text_gives_a_document_or_a_spec_error(text: str) -> None:
    for mistake in mistakes(text):
        line, column, message = mistake.split(":", 2)
        assert int(line) >= 1
        assert int(column) >= 1
        assert message


@given(st.text(" \n\t:-[]{}?&*!|>'\"%@,#ab1.\\", max_size=60))
def test_both_parsers_agree_on_what_they_can_read(text: str) -> None:
    def outcome() -> Any:
        try:
            document = parse(text, "f.yaml")
        except SpecError:
            return None
        return document.data, {path: (mark.line, mark.column) for path, mark in document.marks.items() if path}

    quick = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader")
        slow = outcome()
    if quick is not None and slow is not None:
        assert quick[0] == slow[0]


def test_keys_and_values_have_their_places(loader: str) -> None:
    document = sound("a: 1\nimagery:\n  bands: [red, 7]\n  'é': ü\n")
    marks = {path: (m.line, m.column, m.key_line, m.key_column) for path, m in document.marks.items()}
    assert marks == {
        (): (1, 1, 1, 1),
        ("a",): (1, 4, 1, 1),
        ("imagery",): (3, 3, 2, 1),
        ("imagery", "bands"): (3, 10, 3, 3),
        ("imagery", "bands", 0): (3, 11, 3, 11),
        ("imagery", "bands", 1): (3, 16, 3, 16),
        ("imagery", "é"): (4, 8, 4, 3),
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("12:30:45", "12:30:45"),
        ("2024-06-01", "2024-06-01"),
        ("2024-06-01T10:00:00Z", "2024-06-01T10:00:00Z"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("+7", 7),
        ("'7'", "7"),
        ('"true"', "true"),
        ("=", "="),
        ("0b1", "0b1"),
        ("1.2.3", "1.2.3"),
        ("EPSG:4326", "EPSG:4326"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any, loader: str) -> None:
    found = sound(f"a: {text}").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(sound("a: .nan").data["a"])


def test_an_alias_bomb_is_refused_at_once(loader: str) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    start = time.process_time()
    found = mistakes("\n".join(lines))
    assert time.process_time() - start < 2
    assert "anchors (&a0) are not allowed" in found[0]
    assert len(found) <= 101


def test_an_alias_to_itself_is_refused(loader: str) -> None:
    assert mistakes("a: &a [*a]") == [
        "1:4: a: anchors (&a) are not allowed; write the value out",
        "1:8: a.0: aliases (*a) are not allowed; write the value out",
    ]


def test_a_duplicate_key_is_refused_with_both_lines(loader: str) -> None:
    assert only("a: 1\nb: 2\na: 3\n") == "3:1: a: the key 'a' is on line 3, and already on line 1"
    assert sound("x: {a: 1}\ny: {a: 1}").data == {"x": {"a": 1}, "y": {"a": 1}}


def test_a_duplicate_key_keeps_the_first_value_for_further_checks() -> None:
    document = parse("a: 1\na: {b: 2}\n", "f.yaml")
    assert document.data == {"a": 1}
    assert set(document.marks) == {(), ("a",)}


def test_duplicates_are_found_where_the_value_is_left_out_too() -> None:
    assert len(mistakes("a: 1\na: {b: 2, b: 3}\n")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object:os.system x", "1:4: a: tags (tag:yaml.org,2002:python/object:os.system) are not allowed"),
        ("a: !x 1", "1:4: a: tags (!x) are not allowed"),
        ("a: !!str 5", "1:4: a: tags (tag:yaml.org,2002:str) are not allowed"),
        ("a:\n  <<: {b: 1}", "2:3: a: merge keys (<<) are not allowed"),
        ("1.5: a", "1:1: a key must be text; put it in quotes: '1.5'"),
        ("true: a", "1:1: a key must be text; put it in quotes: 'true'"),
        ("a:\n  ? [x]\n  : 1", "2:5: a: a key must be plain text"),
        ("a: 1\n---\nb: 2", "2:1: only one document is allowed in a file"),
        ("a: 1" + "0" * 400, "1:4: a: the number is too large"),
        ("a: 1e999", "1:4: a: the number is too large"),
        ("a: b\x07", "1:5: the character U+0007 is not allowed"),
        ("a:\n\tb: 1", "2:1: not valid YAML: a tab cannot be used here; indent with spaces"),
    ],
)
def test_what_the_subset_leaves_out_is_refused_at_its_place(text: str, message: str, loader: str) -> None:
    assert only(text).startswith(message)


@pytest.mark.parametrize(
    "text", ["a: [1, 2", "a: 'x", "a: b: c", "- a\nb: 1", "a: }", "%YAML 9.9\n---\na: 1", '"\\ud800": 1']
)
def test_broken_yaml_is_one_mistake_with_a_place(text: str, loader: str) -> None:
    line, column, _ = only(text).split(":", 2)
    assert int(line) >= 1
    assert int(column) >= 1


def test_broken_yaml_says_what_was_begun_where(loader: str) -> None:
    assert only("a:\n  b: [1, 2\nc: 3\n").endswith("while parsing a flow sequence that starts on line 2")


def test_a_quoted_merge_sign_is_an_ordinary_key() -> None:
    assert sound('"<<": 1').data == {"<<": 1}


def test_nesting_is_limited(loader: str) -> None:
    def nested(depth: int) -> str:
        return "[" * depth + "]" * depth

    assert sound(nested(MAX_DEPTH)).data
    assert only(nested(MAX_DEPTH + 1)).endswith("nested deeper than 32 levels")
    start = time.process_time()
    assert only("[" * 500_000).endswith("nested deeper than 32 levels")
    assert time.process_time() - start < 2


def test_several_mistakes_are_reported_together() -> None:
    assert len(mistakes("a: *x\nb: !t 1\nc: 1\nc: 2\ntrue: 1\nd: 1e999\n")) == 5


def test_lines_are_counted_as_editors_count_them(loader: str) -> None:
    document = sound("a: 'x\u2028y'\r\nb: 1\r\nc: \U0001f6f0\nd: [1]")
    assert (document.marks[("d", 0)].line, document.marks[("d", 0)].column) == (4, 5)


def test_a_byte_order_mark_does_not_shift_columns(loader: str) -> None:
    document = sound("\ufeffa: 1")
    assert (document.marks[("a",)].key_column, document.marks[("a",)].column) == (1, 4)


def test_an_empty_text_is_an_empty_document(loader: str) -> None:
    for text in ("", "# only a comment\n", "---\n"):
        assert sound(text).data is None


def test_a_large_text_is_refused(tmp_path: Any) -> None:
    assert "larger than 1 MiB" in only("a" * (MAX_BYTES + 1))
    assert "larger than 1 MiB" in only("é" * (MAX_BYTES // 2 + 1))
    file = tmp_path / "big.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(SpecError, match="larger than 1 MiB"):
        read(str(file))


def test_what_is_not_utf8_is_refused_at_its_place(tmp_path: Any) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes("a: 1\nb: caf\u00e9\n".encode("latin-1"))
    with pytest.raises(SpecError) as caught:
        read(str(file))
    assert str(caught.value) == f"{file}:2:7: not UTF-8; save the file as UTF-8"


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Any) -> None:
    for path in (tmp_path / "none.yaml", tmp_path, "a\0b"):
        with pytest.raises(SpecError, match="cannot be read"):
            read(str(path))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_what_windows_writes_is_read_as_what_it_is(tmp_path: Any, encoding: str) -> None:
    file, text = tmp_path / "a.yaml", "name: Zürich\r\nitems: 3\r\n"
    mark = "" if encoding in ("utf-16", "utf-8-sig") else "\ufeff"
    file.write_bytes((mark + text).encode(encoding))
    assert parse(read(str(file)), "a.yaml").data == {"name": "Zürich", "items": 3}


def test_what_begins_as_utf16_and_is_not_is_refused(tmp_path: Any) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xff\xfea\x00\x00\xd8")
    with pytest.raises(SpecError, match="begins as UTF-16, and is not: save the file as UTF-8"):
        read(str(file))
