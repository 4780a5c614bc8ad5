"""Validation of a document as a model: the environment is resolved, pydantic validates, every mistake gets its line and column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from swath.errors import Mistake, SpecError, SwathError
from swath.spec.fields.paths import ValidationContext
from swath.spec.spec_model import SpecModel
from swath.spec.validation import error_text
from swath.spec.yaml import environment
from swath.spec.yaml.document import Document

M = TypeVar("M", bound=SpecModel)


@dataclass(frozen=True)
class ValidationResult(Generic[M]):
    """The validated model, or its mistakes."""

    value: M | None
    """The model; None if there are mistakes."""
    mistakes: tuple[Mistake, ...]
    """Sorted by file, line and column."""
    secrets: Mapping[str, str]
    """Values from the environment, and their references."""

    def unwrap(self) -> M:
        """The model. Raises SpecError with every mistake."""
        if self.value is None:
            raise SpecError(list(self.mistakes))
        return self.value


def validate(
    kind: type[M], document: Document, context: ValidationContext, env: Mapping[str, str] | None = None
) -> ValidationResult[M]:
    """Validate a document as a model. env: this process's own when not given. Does not raise for a wrong document."""
    resolved = environment.resolve(document, env)
    found = list(resolved.document.mistakes)
    value: M | None = None
    try:
        # JSON, because strict JSON still reads a list as a tuple and text as a date, but never "2" as a number.
        value = kind.model_validate_json(json.dumps(resolved.document.data), context=context)
    except ValidationError as error:
        found += error_text.mistakes(error, kind, resolved)
    except SwathError as error:
        found.append(document.marks[()].mistake((), resolved.scrub(str(error))))
    return ValidationResult(None if found else value, sorted_mistakes(found, document.file), resolved.secrets)


def sorted_mistakes(mistakes: list[Mistake], file: str) -> tuple[Mistake, ...]:
    """Each mistake once, sorted by line and column, those of `file` before those of overrides."""
    return tuple(sorted(dict.fromkeys(mistakes), key=lambda m: (m.file != file, m.file, m.line, m.column, m.field)))
