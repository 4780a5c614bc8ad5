"""`pipe schema`: the JSON Schema of specs, for editors."""

from __future__ import annotations

import json
import sys

from swath.cli.context import here
from swath.project.registry import Registry


def print_schema(pipeline: str | None) -> int:
    """Print the JSON Schema of one pipeline's specs, or of all."""
    from swath.spec.loading.schema import schema, schemas

    registry = Registry.of(here())
    if registry.not_loaded:
        print(registry.not_loaded, file=sys.stderr)
    if pipeline is not None:
        found = schema(registry.spec_class(pipeline), pipeline)
    else:
        found = schemas({name: registry.spec_class(name) for name in registry.names})
    print(json.dumps(found, ensure_ascii=False, indent=2))
    return 0
