"""Text of runs for a page: colours of terminals are left out, and what would be invisible or turn the text around is shown."""

from __future__ import annotations

import re

_TERMINAL = re.compile(
    "\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\-_])|\x9b[0-?]*[ -/]*[@-~]"
)
"""Sequences that steer a terminal: colours, titles, moves."""
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
"""Controls but for tab and line end, characters that change the direction of text, and those without a width."""


def visible(text: object) -> str:
    """Text without sequences for terminals, where characters that nobody would see stand as their code, such as `[U+202E]`.

    Escaping for HTML is the templates' matter.
    """
    plain = _TERMINAL.sub("", str(text).replace("\r\n", "\n"))
    return _UNSEEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", plain.replace("\r", "\n"))
