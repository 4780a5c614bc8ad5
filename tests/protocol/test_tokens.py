from __future__ import annotations

import pytest

from swath.protocol.tokens import KINDS, new_token, token_digest, token_kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_tells_its_kind_and_no_other_word_is_one(kind: str) -> None:
    token = new_token(kind)
    assert token.startswith(f"swath_{kind}_")
    assert token_kind(token) == kind
    assert new_token(kind) != token
    wrong = "b" if token[-10] != "b" else "c"
    for other in (token[:-10] + wrong + token[-9:], token + "a", token[:-1], token.upper(), "", f" {token}"):
        assert token_kind(other) is None


def test_a_digest_does_not_give_the_token_away() -> None:
    token = new_token("user")
    assert token not in token_digest(token)
    assert token_digest(token) == token_digest(token)
    assert len(token_digest(token)) == 64
