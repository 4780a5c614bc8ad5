from __future__ import annotations

import dataclasses
import enum
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swath.engine import secret_pickle
from swath.errors import StateError

SECRET = "tok-µ-12345"
SECRETS = {SECRET: "TOKEN", "tok-µ": "SHORTER", "abc": "TOO_SHORT"}

texts = st.text(max_size=6)
secretive = st.lists(st.sampled_from(list(SECRETS)) | texts, max_size=5).map("".join)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | secretive
values = st.recursive(
    plain | secretive.map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(secretive, inner, max_size=4)
        | st.sets(secretive)
    ),
    max_leaves=10,
)


class Address(str):
    """A text of a class of its own."""


class Kind(enum.Enum):
    OPEN = f"see {SECRET}"


@dataclasses.dataclass(frozen=True)
class Band:
    href: str
    data: bytes


@given(values)
def test_what_was_sealed_comes_back_and_no_secret_is_in_the_open(value: Any) -> None:
    data = secret_pickle.dumps(value, SECRETS)
    assert secret_pickle.loads(data, SECRETS) == value
    assert SECRET.encode() not in data
    assert "tok-µ".encode() not in data


@given(values)
def test_without_secrets_values_come_back_too(value: Any) -> None:
    assert secret_pickle.loads(secret_pickle.dumps(value, {}), {}) == value
    assert secret_pickle.loads(secret_pickle.dumps(value, {}), SECRETS) == value


@given(st.lists(st.text(min_size=4, max_size=8), min_size=1, max_size=4, unique=True), st.data())
def test_any_texts_can_be_secrets_also_such_as_hold_one_another(secrets: list[str], data: Any) -> None:
    assume(not any(secret.isascii() and secret.isalpha() for secret in secrets))  # a name in the pickle itself
    known = {secret: f"S{number}" for number, secret in enumerate(secrets)}
    value = data.draw(st.lists(st.lists(st.sampled_from(secrets) | texts, max_size=4).map("".join), max_size=4))
    assert secret_pickle.loads(secret_pickle.dumps(value, known), known) == value


@pytest.mark.parametrize(
    "value",
    [
        Band(f"https://x/?sig={SECRET}&y", SECRET.encode() * 2),
        Address(f"https://{SECRET}@x"),
        {SECRET: {SECRET}},
        f"{SECRET}{SECRET}",
        b"\xff" + SECRET.encode() + b"\x00",
        (Band(SECRET, b""), [Band("open", SECRET.encode())]),
    ],
    ids=["fields", "own class", "keys", "twice", "bytes", "nested"],
)
def test_secrets_are_found_wherever_they_are(value: Any) -> None:
    data = secret_pickle.dumps(value, SECRETS)
    found = secret_pickle.loads(data, SECRETS)
    assert found == value
    assert type(found) is type(value)
    assert SECRET.encode() not in data
    assert b"tok-" not in data


def test_a_function_that_holds_a_secret_keeps_it_to_itself() -> None:
    secret = SECRET

    def signed(path: str) -> str:
        return path + secret

    data = secret_pickle.dumps(signed, SECRETS)
    assert SECRET.encode() not in data
    assert secret_pickle.loads(data, SECRETS)("x?") == f"x?{SECRET}"


def test_a_secret_that_has_changed_is_read_with_its_new_value() -> None:
    data = secret_pickle.dumps([f"https://x/?sig={SECRET}", SECRET.encode()], {SECRET: "TOKEN"})
    assert secret_pickle.loads(data, {"new-µ": "TOKEN"}) == ["https://x/?sig=new-µ", "new-µ".encode()]


@pytest.mark.parametrize("secrets", [{}, {"other": "OTHER"}], ids=["no secrets", "another"])
def test_a_secret_that_is_not_known_here_is_an_error_that_says_what_to_do(secrets: dict[str, str]) -> None:
    data = secret_pickle.dumps({"href": SECRET}, {SECRET: "TOKEN"})
    with pytest.raises(StateError, match="a secret that this run does not have") as caught:
        secret_pickle.loads(data, secrets)
    assert "--fresh" in caught.value.remedy
    assert SECRET not in str(caught.value)
    if secrets:
        assert "TOKEN" in str(caught.value)


def test_a_secret_of_three_characters_is_left_alone() -> None:
    data = secret_pickle.dumps("abcabc", {"abc": "TOO_SHORT"})
    assert secret_pickle.loads(data, {}) == "abcabc"


@pytest.mark.parametrize("dtype", ["S", "U", "O"])
def test_texts_in_arrays_hold_no_secret_in_the_open(dtype: str) -> None:
    value = np.array([SECRET.replace("µ", "m"), "open"], dtype=dtype)
    known = {SECRET.replace("µ", "m"): "TOKEN"}
    data = secret_pickle.dumps(value, known)
    assert (secret_pickle.loads(data, known) == value).all()
    for encoding in ("utf-8", "utf-32-le", "utf-16-le"):
        assert SECRET.replace("µ", "m").encode(encoding) not in data
