from __future__ import annotations

import pytest

from swath.errors import PipelineError
from swath.spec.base import Spec


def test_a_pipeline_cannot_have_a_field_called_matrix() -> None:
    with pytest.raises(PipelineError, match="belongs to every spec"):
        type("Wrong", (Spec,), {"__annotations__": {"matrix": int}})
