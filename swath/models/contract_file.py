"""Contract files: JSON in the fields of the STAC MLM extension (v1.4), read into a Contract with every mistake named.

The file is the `properties` of an MLM item, or a whole item. What MLM has no field for stands under `swath:`.
https://github.com/stac-extensions/mlm
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swath.errors import ModelError
from swath.models.contract import Contract
from swath.models.contract_fields import contract_from_fields
from swath.models.document_reader import DocumentReader
from swath.spec.locations import special_file

MAX_BYTES = 16 << 20
"""Of a contract; those of thousands of classes have some hundred thousand."""
EXAMPLE = """{
  "mlm:name": "my-model",
  "mlm:architecture": "U-Net",
  "mlm:tasks": ["semantic-segmentation"],
  "mlm:input": [{
    "name": "image",
    "bands": ["blue", "green", "red", "nir"],
    "input": {"shape": [-1, 4, -1, -1], "dim_order": ["batch", "channel", "height", "width"], "data_type": "float32"},
    "value_scaling": [{"type": "min-max", "minimum": 0, "maximum": 255}]
  }],
  "mlm:output": [{
    "name": "logits",
    "tasks": ["semantic-segmentation"],
    "result": {"shape": [-1, 2, -1, -1], "dim_order": ["batch", "class", "height", "width"], "data_type": "float32"},
    "classification:classes": [
      {"value": 0, "name": "land", "color_hint": "E6DFC8"},
      {"value": 1, "name": "water", "color_hint": "2B7BBA"}
    ]
  }],
  "swath:units": "dn"
}"""
"""A minimal contract."""


def contract_path(weights: str) -> Path:
    """Where the contract of these weights is looked for: the same name, ending in .json. Raises ModelError when they have no name."""
    path = Path(weights)
    if not path.name:
        raise ModelError(f"{weights!r} names no file", remedy="give the address of the model's file")
    for ending in (".torchscript.pt", path.suffix):
        if ending and path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + ".json")
    return path.with_name(path.name + ".json")


def read_contract(path: str | Path) -> Contract:
    """Read a model's contract.

    Raises ModelError: one line for each mistake, with file and field; or, when there is no such file, an example of one.
    """
    if what := special_file(str(path)):
        raise ModelError(f"{path}: the model's contract is {what}, not a file", remedy="save the contract as a file")
    try:
        if (size := Path(path).stat().st_size) > MAX_BYTES:
            raise ModelError(f"{path}: {size:,} bytes, more than a contract has", remedy="name the contract's file")
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"{path}: the model's contract is missing",
            remedy=f"write that file; a minimal contract is:\n{EXAMPLE}",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: the model's contract cannot be read: {error}", remedy="save it as UTF-8") from error
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ModelError(f"{path}: too deeply nested", remedy="it must be a contract of a model") from error
    except ValueError as error:
        raise ModelError(f"{path}: not JSON: {error}", remedy="correct the file, or write it anew") from error
    return parse_contract(document, source=str(path))


def parse_contract(document: Any, *, source: str = "contract") -> Contract:
    """A Contract from parsed JSON; `source` is its name in messages. Raises ModelError as read_contract does."""
    reader = DocumentReader(source)
    if isinstance(document, dict) and document.get("type") == "Feature":
        document = document.get("properties")
    if not isinstance(document, dict):
        raise ModelError(f"{source}: a contract is a JSON object", remedy=f"a minimal contract is:\n{EXAMPLE}")
    contract = contract_from_fields(reader, document)
    if contract is None or reader.mistakes:
        raise ModelError(
            "\n".join(reader.mistakes), remedy="docs of the fields: https://github.com/stac-extensions/mlm"
        )
    return contract


def item_properties(contract: Contract) -> dict[str, Any]:
    """The contract's `mlm:` fields, as they stand in its file."""
    return {key: value for key, value in (contract.mlm or {}).items() if key.startswith("mlm:")}


def _refuse_constant(name: str) -> None:
    raise ValueError(f'{name} is not JSON; write "nan" for a nodata that is not a number')
