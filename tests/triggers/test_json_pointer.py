from __future__ import annotations

from swath.triggers.json_pointer import at_pointer


def test_a_pointer_may_name_keys_with_slashes() -> None:
    assert at_pointer({"a/b": {"c~d": [0, 7]}}, "/a~1b/c~0d/1") == 7
