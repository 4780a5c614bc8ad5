"""A YAML document as plain data, with the line and column of every key and value. A safe subset of YAML 1.2."""

from __future__ import annotations

import codecs
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swath.errors import Mistake, SpecError
from swath.spec.locations import STDIN, is_stream, special_file

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_MISTAKES = 100

Path = tuple[str | int, ...]
"""Path of a value in a document: keys and list indices from the top; `()` is the document itself."""

# The core schema of YAML 1.2, https://yaml.org/spec/1.2.2/#103-core-schema: `yes` is text, 010 is ten, `1:30` is text.
_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")
_LONGEST_NUMBER = 300

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Mark:
    """Position of a value and of its key, from line and column 1. An item of a list has no key: both are the same."""

    file: str
    line: int
    column: int
    key_line: int
    key_column: int

    def mistake(self, path: Path, message: str, *, key: bool = False) -> Mistake:
        """A mistake at this value, or at its key. path: that of the field in the message."""
        line, column = (self.key_line, self.key_column) if key else (self.line, self.column)
        return Mistake(self.file, line, column, dotted(path), message)


@dataclass(frozen=True)
class Document:
    """One YAML document as plain data: dict, list, str, int, float, bool and None."""

    text: str
    """The text, with unresolved `${env:...}`."""
    file: str
    """Its path as the user wrote it."""
    data: Any
    marks: Mapping[Path, Mark]
    """Positions of all keys and values; always has `()`."""
    mistakes: tuple[Mistake, ...] = ()
    """Mistakes that did not stop the parser. A document with mistakes may be checked further, but not used."""
    broken: frozenset[Path] = frozenset()
    """Paths of values that have a mistake already."""

    def locate(self, loc: Path) -> Path:
        """The longest path along `loc` that exists in the document; segments that do not exist (union tags) are skipped."""
        path: Path = ()
        for segment in loc:
            if (*path, segment) in self.marks:
                path = (*path, segment)
        return path

    def at(self, path: Path) -> Any:
        """The value at a path that exists."""
        value = self.data
        for segment in path:
            value = value[segment]
        return value


def dotted(path: Path) -> str:
    """`imagery.bands.0`"""
    return ".".join(str(segment) for segment in path)


def read(file: str) -> str:
    """The text of a file; of `-` that of standard input. Raises SpecError if it cannot be read, is too large or is not UTF-8 (UTF-16
    with a byte order mark, as Windows PowerShell writes, is read too)."""
    if not is_stream(file) and (what := special_file(file)):
        raise SpecError([Mistake(file, 1, 1, "", f"{what} cannot be read; save the text as a file, and give its path")])
    try:
        with open(_descriptor(file), "rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SpecError([Mistake(file, 1, 1, "", f"cannot be read: {why}")]) from error
    if len(raw) > MAX_BYTES:
        raise SpecError([Mistake(file, 1, 1, "", _TOO_LARGE)])
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return raw.decode("utf-16")
        except UnicodeDecodeError as error:
            message = "the file begins as UTF-16, and is not: save the file as UTF-8"
            raise SpecError([Mistake(file, 1, 1, "", message)]) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        line, column = _Lines(before).place(len(before))
        raise SpecError([Mistake(file, line, column, "", "not UTF-8; save the file as UTF-8")]) from error


def _descriptor(file: str) -> int:
    """An open file descriptor of a spec's file."""
    if file == STDIN:
        return os.dup(0)
    if is_stream(file):
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    # A named pipe that takes the file's place now is opened without waiting for a writer, and is empty.
    return os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def parse(text: str, file: str) -> Document:
    """Parse YAML. Raises SpecError for a syntax error; other mistakes are in the Document."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SpecError([Mistake(file, 1, 1, "", _TOO_LARGE)])
    return _Reader(text, file).document()


_TOO_LARGE = f"larger than {MAX_BYTES >> 20} MiB; a spec names files, it does not contain them"


class _Stop(Exception):
    """The rest of the document cannot be parsed."""


class _Lines:
    def __init__(self, text: str) -> None:
        self.starts = [0, *(match.end() for match in _LINE_BREAK.finditer(text))]

    def place(self, index: int) -> tuple[int, int]:
        """1-based (line, column) of a character."""
        line = bisect_right(self.starts, index)
        return line, index - self.starts[line - 1] + 1


class _Reader:
    """Builds a Document from the events of the YAML parser, so that aliases are never expanded."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.lines = text, file, _Lines(text)
        self.marks: dict[Path, Mark] = {}
        self.mistakes: list[Mistake] = []
        self.broken: set[Path] = set()

    def document(self) -> Document:
        try:
            if bad := _UNPRINTABLE.search(self.text):
                self.stop(bad.start(), (), f"the character U+{ord(bad[0]):04X} is not allowed")
            data = self.root(self.events())
        except _Stop:
            raise SpecError(self.mistakes) from None
        return Document(self.text, self.file, data, self.marks, tuple(self.mistakes), frozenset(self.broken))

    def events(self) -> Iterator[Any]:
        import yaml

        try:
            yield from yaml.parse(self.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            index = min(mark.index, len(self.text)) if mark else 0
            self.stop(index, (), self.syntax(error, index))
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            self.stop(0, (), f"not valid YAML: {str(error).splitlines()[0]}")

    def syntax(self, error: Any, index: int) -> str:
        if self.text[index : index + 1] == "\t":
            return "not valid YAML: a tab cannot be used here; indent with spaces"
        message = f"not valid YAML: {error.problem or 'unreadable'}"
        if error.context and error.context_mark:
            message += f" {error.context} that starts on line {self.lines.place(error.context_mark.index)[0]}"
        return message

    def stop(self, index: int, path: Path | None, message: str) -> None:
        self.report(index, path, message)
        raise _Stop

    def report(self, index: int, path: Path | None, message: str, *, broken: bool = False) -> None:
        line, column = self.lines.place(index)
        self.mistakes.append(Mistake(self.file, line, column, dotted(path or ()), message))
        if broken and path is not None:
            self.broken.add(path)
        if len(self.mistakes) >= MAX_MISTAKES:
            raise _Stop

    def root(self, events: Iterator[Any]) -> Any:
        from yaml import events as kinds

        data: Any = None
        self.mark((), 0)
        documents = 0
        for event in events:
            index = event.start_mark.index
            if isinstance(event, kinds.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.stop(index, (), "only one document is allowed in a file")
                data = self.node(next(events), events, (), 1)
        return data

    def mark(self, path: Path | None, index: int, key_index: int | None = None) -> None:
        if path is None:
            return
        line, column = self.lines.place(index)
        key_line, key_column = (line, column) if key_index is None else self.lines.place(key_index)
        self.marks[path] = Mark(self.file, line, column, key_line, key_column)

    def node(
        self, event: Any, events: Iterator[Any], path: Path | None, depth: int, key_index: int | None = None
    ) -> Any:
        """The value that starts with `event`. path: None for a value that is checked but not used."""
        from yaml import events as kinds

        index = event.start_mark.index
        self.mark(path, index, key_index)
        if isinstance(event, kinds.AliasEvent):
            self.report(index, path, f"aliases (*{event.anchor}) are not allowed; write the value out", broken=True)
            return None
        if event.anchor is not None:
            self.report(index, path, f"anchors (&{event.anchor}) are not allowed; write the value out")
        if event.tag is not None:
            self.report(index, path, f"tags ({event.tag}) are not allowed; put text in quotes", broken=True)
        if isinstance(event, kinds.ScalarEvent):
            return self.scalar(event, path)
        if depth > MAX_DEPTH:
            self.stop(index, path, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, kinds.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := next(events), kinds.SequenceEndEvent):
                items.append(self.node(event, events, _below(path, len(items)), depth + 1))
            return items
        return self.mapping(events, path, depth)

    def mapping(self, events: Iterator[Any], path: Path | None, depth: int) -> dict[str, Any]:
        from yaml import events as kinds

        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(events), kinds.MappingEndEvent):
            index = event.start_mark.index
            key = self.key(event, events, path, depth)
            if key is None:
                self.node(next(events), events, None, depth + 1)
            elif key in found:
                line = self.lines.place(index)[0]
                message = f"the key {key!r} is on line {line}, and already on line {lines[key]}"
                self.report(index, _below(path, key), message)
                self.node(next(events), events, None, depth + 1)
            else:
                lines[key] = self.lines.place(index)[0]
                found[key] = self.node(next(events), events, _below(path, key), depth + 1, index)
        return found

    def key(self, event: Any, events: Iterator[Any], path: Path | None, depth: int) -> str | None:
        """The key; None, with a mistake, if it is not allowed."""
        from yaml import events as kinds

        index = event.start_mark.index
        value = self.node(event, events, None, depth + 1)
        if not isinstance(event, kinds.ScalarEvent):
            self.report(index, path, "a key must be plain text")
            return None
        if event.value == "<<" and not event.style:
            self.report(index, path, "merge keys (<<) are not allowed; write the values out")
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return str(event.value)  # as it is written: numbers are the names of labels' classes
        if not isinstance(value, str):
            self.report(index, path, f"a key must be text; put it in quotes: '{event.value}'")
            return None
        return value

    def scalar(self, event: Any, path: Path | None) -> Any:
        text: str = event.value
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            self.report(event.start_mark.index, path, "half of a surrogate pair is not a character", broken=True)
            return ""
        if event.style:
            return text
        if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
            number = _number(text)
            if number is None:
                self.report(event.start_mark.index, path, "the number is too large", broken=True)
            return number
        return _word(text)


def _below(path: Path | None, segment: str | int) -> Path | None:
    return None if path is None else (*path, segment)


def _number(text: str) -> int | float | None:
    """The number; None if it is too large."""
    if len(text) > _LONGEST_NUMBER:
        return None
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    number = float(text)
    return None if number in (float("inf"), float("-inf")) else number


def _word(text: str) -> Any:
    """The value of an unquoted scalar that is no number."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INF.fullmatch(text):
        return float(text.replace(".", ""))
    return float("nan") if _NAN.fullmatch(text) else text
