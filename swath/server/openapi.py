"""Prints the API's description, OpenAPI 3.1: `python -m swath.server.openapi > docs/openapi.json`, as `make schema` does."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from swath.server.app import create_app
from swath.server.database.open import open_database
from swath.server.services import Services


def openapi_text() -> str:
    """The description as JSON. The version is left out: it changes without the API."""
    with tempfile.TemporaryDirectory() as folder:
        services = Services.of(open_database(str(Path(folder) / "server.sqlite")))
        try:
            document = create_app(services).openapi()
        finally:
            services.database.close()
    document["info"].pop("version")
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_text())
