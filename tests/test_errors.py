from __future__ import annotations

import pickle
import re

import pytest

from swath import errors
from swath.errors import FailedRead, MissingExtra, Mistake, ReadFailed, SpecError, SwathError


def classes() -> dict[str, type[SwathError]]:
    return {
        name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, SwathError)
    }


def test_the_tree_in_the_docstring_has_every_class_below_its_base_with_its_exit_code() -> None:
    drawn: dict[str, tuple[str | None, int | None]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+) {2,}(\d*)", line)
        if found is None:
            continue
        depth = len(found[1]) // 4
        path[depth:] = [found[2]]
        drawn[found[2]] = (path[depth - 1] if depth else None, int(found[3]) if found[3] else None)
    assert set(drawn) == set(classes())
    for name, (base, code) in drawn.items():
        found_class = classes()[name]
        assert found_class.__bases__[0].__name__ == (base or "Exception")
        assert code in (None, found_class.exit_code)
        assert code is not None or found_class.exit_code == classes()[base or ""].exit_code


@pytest.mark.parametrize(
    "error",
    [
        SwathError("it failed", remedy="do it again"),
        MissingExtra("apprise", "notify", "mailto://"),
        SpecError([Mistake("a.yaml", 1, 2, "area", "no such file"), Mistake("a.yaml", 3, 1, "", "empty")]),
        ReadFailed("a.tif: torn"),
    ],
)
def test_an_error_survives_pickling_with_its_remedy_and_fields(error: SwathError) -> None:
    if isinstance(error, ReadFailed):
        error.failed = FailedRead("a.tif", (0, 2), (4, 8))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.__dict__) == (str(error), error.__dict__)


def test_a_remedy_is_a_line_of_its_own_and_a_mistake_has_its_place() -> None:
    assert str(SwathError("it failed", remedy="do it again")) == "it failed\n  do it again"
    assert str(Mistake("a.yaml", 1, 2, "area", "no such file")) == "a.yaml:1:2: area: no such file"
    assert FailedRead("a.tif", (0, 2), (4, 8)).pixels == 8
