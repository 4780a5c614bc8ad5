"""Tests, and programs that need their projects: `python -m tests.crash.loop`, `python -m tests.clouds.kills`."""

from __future__ import annotations

import os

# The projects of tests have pipelines of their own. Tests of trust unset it.
os.environ["SWATH_TRUST"] = "1"
