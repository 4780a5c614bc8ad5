"""Inquiries: bounded jobs that an agent does for a page, such as the plan of a spec. They start nothing and may stay unanswered."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from swath.protocol.messages import MAX_TEXT, Message, RunRequest

InquiryKind = Literal["schemas", "plan"]
MAX_ANSWER = 1_500_000
"""Characters of a document that is answered, as JSON."""


class InquiryClaim(Message):
    """An agent asks for an inquiry."""

    session: str = Field(min_length=8, max_length=64)
    wait_s: float = Field(default=0, ge=0, le=25)


class Inquiry(Message):
    """What an agent is asked."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]
    kind: InquiryKind
    """`schemas`: what `pipe schema` prints in the project; `plan`: what `pipe plan` says of the request's spec."""
    source: dict[str, Any]
    """Of the project."""
    request: RunRequest
    """Of `schemas` only project and ref count."""
    limit_s: float = Field(gt=0, le=600)
    """Nobody waits for an answer after so many seconds."""


class SpecMistake(Message):
    """A mistake of a spec."""

    file: str = Field(default="spec", max_length=4096)
    line: int = Field(default=1, ge=1)
    column: int = Field(default=1, ge=1)
    field: str = Field(default="", max_length=4096)
    message: str = Field(max_length=MAX_TEXT)


class InquiryAnswer(Message):
    """What an agent answers: a document, or why there is none."""

    document: dict[str, Any] | None = None
    mistakes: tuple[SpecMistake, ...] = Field(default=(), max_length=200)
    error: str = Field(default="", max_length=MAX_TEXT)

    @field_validator("document")
    @classmethod
    def _bounded(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and len(json.dumps(value)) > MAX_ANSWER:
            raise ValueError(f"has more than {MAX_ANSWER:,} characters as JSON")
        return value
