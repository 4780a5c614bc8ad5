"""Plain data as YAML text that the reader of specs reads back as the same data."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from swath.errors import SpecError
from swath.spec.yaml.document import parse

_PLAIN = re.compile(r"[A-Za-z0-9_./$(][A-Za-z0-9_./$()+*=<>~:@%^{}\[\] -]*")
"""What may stand without quotes, if it is read back as the same text."""
_LONGEST_LINE = 100


def block(value: Any, indent: int) -> str:
    """A value in lines; the first one without its indentation, the others with it."""
    return ("\n" + " " * indent).join(_lines(value))


def item(value: Any, indent: int) -> str:
    """An item of a list in lines of its own, with its dash, as `block` gives it."""
    return ("\n" + " " * indent).join(_item(value))


def flow(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key_text(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def is_inline(value: Any) -> bool:
    """Whether a value stands on the line of its key."""
    if isinstance(value, dict):
        return not value
    return not isinstance(value, list) or all(_is_plain(each) for each in value)


def key_text(key: str) -> str:
    """A key of a mapping."""
    return key if re.fullmatch(r"[0-9]{1,18}", key) else scalar(key)


def scalar(value: Any) -> str:
    """A value that is no collection."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) and _reads_back(text) else _quoted(text)


def _quoted(text: str) -> str:
    """Text in double quotes. JSON's escapes are YAML's, but for characters beyond 16 bits."""
    return re.sub("[^ -~]", _escaped, json.dumps(text, ensure_ascii=False))


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _reads_back(text: str) -> bool:
    """Whether text without quotes is read as this text, as a value, a key, and within brackets."""
    try:
        read = parse(f"- {text}: [{text}, {text}]\n- {text}", "text").data
        return bool(read == [{text: [text, text]}, text])
    except SpecError:
        return False


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, each in value.items() for line in _entry(f"{key_text(key)}:", each)]
    if isinstance(value, list) and not is_inline(value):
        return [line for each in value for line in _item(each)]
    return [flow(value)]


def _entry(head: str, value: Any) -> list[str]:
    if is_inline(value):
        return [f"{head} {flow(value)}"]
    return [head, *(f"  {line}" for line in _lines(value))]


def _item(value: Any) -> list[str]:
    short = flow(value) if _is_flat(value) else ""
    first, *others = [short] if short and len(short) <= _LONGEST_LINE else _lines(value)
    return [f"- {first}", *(f"  {line}" for line in others)]


def _is_flat(value: Any) -> bool:
    return not isinstance(value, (dict, list)) or not any(
        isinstance(each, (dict, list)) for each in (value.values() if isinstance(value, dict) else value)
    )


def _is_plain(value: Any) -> bool:
    """Whether it is no collection, or one of numbers such as coordinates."""
    if isinstance(value, list):
        return all(isinstance(each, (int, float)) or (isinstance(each, list) and _is_plain(each)) for each in value)
    return not isinstance(value, dict)
