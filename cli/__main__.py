"""`python -m swath.cli` is the same as `pipe`."""

from __future__ import annotations

import sys

from swath.cli import main

sys.exit(main())
