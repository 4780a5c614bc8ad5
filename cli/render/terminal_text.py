"""Text for a terminal: without control characters, and how many columns it takes."""

from __future__ import annotations

import re
import unicodedata

# Controls but for tab and line ends; characters that change the direction of text or end a line; invisible tag characters.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]|\r(?!\n)"
)


def printable(text: str) -> str:
    """Text without control characters, so that text of a spec, a file or a server cannot steer the terminal. Line ends and tabs stay.

    A control character is written as its escape, such as `\\x1b`. JSON stays JSON of the same value: it has those below a space
    escaped already, and the others become escapes of JSON.
    """
    return _UNSAFE.sub(_escape, text) if _UNSAFE.search(text) else text


def shortened(text: str, longest: int = 4000) -> str:
    """Text with at most `longest` characters of each line: a message may quote a value of a spec or of a file that has no end."""
    if len(text) <= longest:
        return text
    lines = text.split("\n")
    return "\n".join(
        line if len(line) <= longest else f"{line[:longest]}... ({len(line):,} characters)" for line in lines
    )


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return f"\\x{code:02x}"
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000  # as JSON does: two surrogates
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def width(text: str) -> int:
    """Columns that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
