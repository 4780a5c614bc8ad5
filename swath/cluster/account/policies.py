"""The policies and roles in `iam/` (infra/iam of the repository), with the names of one account filled in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("iam")


def aws_policy(name: str, **places: str) -> dict[str, Any]:
    """A policy document, such as `aws-client`. `places`: ACCOUNT, REGION, BUCKET and PREFIX."""
    found: dict[str, Any] = json.loads(_filled((FOLDER / f"{name}.json").read_text(encoding="utf-8"), places))
    return found


def google_document(name: str, **places: str) -> dict[str, Any]:
    """A role or a condition, such as `gcp-client`. `places`: BUCKET and PREFIX."""
    found: dict[str, Any] = yaml.safe_load(_filled((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), places))
    return found


def _filled(text: str, places: dict[str, str]) -> str:
    for word, place in places.items():
        text = re.sub(rf"\b{word}\b", lambda _, place=place: place, text)  # type: ignore[misc]
    return text
