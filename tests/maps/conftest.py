"""A small map, made once for each test module."""

from __future__ import annotations

import pytest

from tests.maps.case import Case, make_case


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("region"))
