"""Signatures of results, and the key of a project."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swath.engine.result_signature import SIGNATURE_BYTES, result_key, signature, verified
from swath.errors import StateError
from swath.storage.state_owner import RESULTS_KEY


def test_a_signature_fits_one_digest_one_pickle_and_one_key() -> None:
    data = signature("digest", b"pickle", b"key") + b"pickle"
    assert bytes(verified("digest", data, b"key") or b"") == b"pickle"
    assert verified("other", data, b"key") is None
    assert verified("digest", data, b"other") is None
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert verified("digest", changed, b"key") is None
    for size in range(len(data)):
        assert verified("digest", data[:size], b"key") is None
    assert verified("digest", bytes(len(data)), b"key") is None
    assert len(data) == SIGNATURE_BYTES + 6


def test_the_key_is_created_once_for_its_owner_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: result_key(tmp_path), range(32)))
    assert len(keys) == 1
    assert stat.S_IMODE((tmp_path / RESULTS_KEY).stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [RESULTS_KEY]


def test_a_damaged_key_is_replaced(tmp_path: Path) -> None:
    before = result_key(tmp_path)
    (tmp_path / RESULTS_KEY).write_bytes(b"short")
    after = result_key(tmp_path)
    assert after != before
    assert result_key(tmp_path) == after


def test_a_key_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    (tmp_path / RESULTS_KEY).mkdir()
    with pytest.raises(StateError, match=RESULTS_KEY) as caught:
        result_key(tmp_path)
    assert "SWATH_HOME" in caught.value.remedy
