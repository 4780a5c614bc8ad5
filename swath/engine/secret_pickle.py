"""Pickles without secrets: a text that holds one is kept with the secret's name in its place, and read with its value.

So a result that carries a signed address or a password can be kept in a journal or a bucket that others read. Who reads
it must know the secret again, from the same environment.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

from swath.errors import StateError

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_SHORTEST = 4
"""A secret of fewer characters is in every other word: it cannot be told from other text."""


def dumps(value: Any, secrets: Mapping[str, str]) -> bytes:
    """The pickle of a value. `secrets` are texts with their names."""
    if any(len(secret) >= _SHORTEST for secret in secrets):
        return _sealed(value, secrets)
    if _plain(value):
        return pickle.dumps(value, 5)
    import cloudpickle

    data: bytes = cloudpickle.dumps(value, protocol=5)
    return data


def loads(data: bytes, secrets: Mapping[str, str]) -> Any:
    """The value of a pickle. Raises StateError when it holds a secret that is not known here."""
    if not secrets:
        try:
            return pickle.loads(data)
        except pickle.UnpicklingError as error:
            if "persistent" not in str(error):
                raise
            raise _unknown("one") from error
    return _Opener(io.BytesIO(data), {name: secret for secret, name in secrets.items()}).load()


def _plain(value: Any) -> bool:
    """Whether a value is of the language's own types, which the quick pickler knows as well."""
    if type(value) in _SCALARS:
        return True
    if type(value) in (tuple, list) and len(value) <= 64:
        return all(type(part) in _SCALARS for part in value)
    return False


def _sealed(value: Any, secrets: Mapping[str, str]) -> bytes:
    import cloudpickle

    hidden = sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=len, reverse=True)
    encoded = [(secret.encode(), secret) for secret in hidden]

    class Sealer(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def persistent_id(self, part: Any) -> Any:
            if type(part) is str and any(secret in part for secret in hidden):
                return "text", _cut(part, hidden)
            if type(part) is bytes and any(secret in part for secret, _ in encoded):
                return "bytes", _cut(part.decode("latin-1"), [secret.decode("latin-1") for secret, _ in encoded])
            return None

        def reducer_override(self, part: Any) -> Any:
            if type(part).__name__ == "ndarray" and part.dtype.kind in ("S", "U"):  # else one piece of memory
                return _texts, (part.ravel().tolist(), part.dtype.str, part.shape)
            return super().reducer_override(part)

    def _cut(text: str, found: list[str]) -> list[tuple[bool, str]]:
        """The text in pieces: (False, as it is) or (True, name of a secret)."""
        pieces = [(False, text)]
        for secret, own in zip(found, hidden, strict=True):
            pieces = [
                cut
                for named, piece in pieces
                for cut in ([(True, piece)] if named else _apart(piece, secret, secrets[own]))
            ]
        return pieces

    file = io.BytesIO()
    Sealer(file, protocol=5).dump(value)
    return file.getvalue()


def _texts(parts: list[Any], dtype: str, shape: tuple[int, ...]) -> Any:
    """An array of texts."""
    import numpy as np

    return np.array(parts, dtype=dtype).reshape(shape)


def _apart(piece: str, secret: str, name: str) -> list[tuple[bool, str]]:
    found: list[tuple[bool, str]] = []
    for part in piece.split(secret):
        found += [(False, part), (True, name)]
    return found[:-1]


class _Opener(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, values: Mapping[str, str]) -> None:
        super().__init__(file)
        self._values = values

    def persistent_load(self, sealed: Any) -> Any:
        kind, pieces = sealed
        try:
            found = [(self._values[piece] if named else piece, named) for named, piece in pieces]
        except KeyError as error:
            raise _unknown(str(error.args[0])) from None
        if kind == "text":
            return "".join(text for text, _ in found)
        return b"".join(text.encode() if named else text.encode("latin-1") for text, named in found)


def _unknown(name: str) -> StateError:
    return StateError(
        f"a kept result holds a secret that this run does not know: {name}",
        remedy="set the variable and name it in the spec as before, or run again with --fresh",
    )
