"""Pickles without secrets: in texts and bytes each secret is replaced by its name, and put back when the pickle is loaded.

So a result with a signed URL or a password can be stored in a journal or a bucket that others read. The process that loads it
must have the secret from the same environment variable.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

from swath.errors import StateError

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_MIN_LENGTH = 4
"""Characters of a secret that is replaced: shorter ones occur in ordinary words."""


def dumps(value: Any, secrets: Mapping[str, str]) -> bytes:
    """Pickle a value. `secrets` are texts with their names."""
    if any(len(secret) >= _MIN_LENGTH for secret in secrets):
        return _without_secrets(value, secrets)
    if _is_plain(value):
        return pickle.dumps(value, 5)
    import cloudpickle

    data: bytes = cloudpickle.dumps(value, protocol=5)
    return data


def loads(data: bytes | memoryview, secrets: Mapping[str, str]) -> Any:
    """Load a pickle. Raises StateError when it contains a secret that `secrets` has not."""
    if not secrets:
        try:
            return pickle.loads(data)
        except pickle.UnpicklingError as error:
            if "persistent" not in str(error):
                raise
            raise _unknown_secret("one") from error
    return _SecretUnpickler(io.BytesIO(data), {name: secret for secret, name in secrets.items()}).load()


def _is_plain(value: Any) -> bool:
    """Whether a value is of built-in types only, so that the fast C pickler can be used."""
    if type(value) in _SCALARS:
        return True
    if type(value) in (tuple, list) and len(value) <= 64:
        return all(type(part) in _SCALARS for part in value)
    return False


def _without_secrets(value: Any, secrets: Mapping[str, str]) -> bytes:
    import cloudpickle

    hidden = sorted((secret for secret in secrets if len(secret) >= _MIN_LENGTH), key=len, reverse=True)
    encoded = [(secret.encode(), secret) for secret in hidden]

    class SecretPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def persistent_id(self, part: Any) -> Any:
            if type(part) is str and any(secret in part for secret in hidden):
                return "text", _split(part, hidden)
            if type(part) is bytes and any(secret in part for secret, _ in encoded):
                return "bytes", _split(part.decode("latin-1"), [secret.decode("latin-1") for secret, _ in encoded])
            return None

        def reducer_override(self, part: Any) -> Any:
            if type(part).__name__ == "ndarray" and part.dtype.kind in ("S", "U"):  # else one piece of memory
                return _texts, (part.ravel().tolist(), part.dtype.str, part.shape)
            return super().reducer_override(part)

    def _split(text: str, found: list[str]) -> list[tuple[bool, str]]:
        """The text in pieces: (False, text) or (True, name of a secret)."""
        pieces = [(False, text)]
        for secret, own in zip(found, hidden, strict=True):
            pieces = [
                cut
                for named, piece in pieces
                for cut in ([(True, piece)] if named else _split_at(piece, secret, secrets[own]))
            ]
        return pieces

    file = io.BytesIO()
    SecretPickler(file, protocol=5).dump(value)
    return file.getvalue()


def _texts(parts: list[Any], dtype: str, shape: tuple[int, ...]) -> Any:
    """An array of strings, from its flat list."""
    import numpy as np

    return np.array(parts, dtype=dtype).reshape(shape)


def _split_at(piece: str, secret: str, name: str) -> list[tuple[bool, str]]:
    found: list[tuple[bool, str]] = []
    for part in piece.split(secret):
        found += [(False, part), (True, name)]
    return found[:-1]


class _SecretUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, values: Mapping[str, str]) -> None:
        super().__init__(file)
        self._values = values

    def persistent_load(self, pid: Any) -> Any:
        kind, pieces = pid
        try:
            found = [(self._values[piece] if named else piece, named) for named, piece in pieces]
        except KeyError as error:
            raise _unknown_secret(str(error.args[0])) from None
        if kind == "text":
            return "".join(text for text, _ in found)
        return b"".join(text.encode() if named else text.encode("latin-1") for text, named in found)


def _unknown_secret(name: str) -> StateError:
    return StateError(
        f"a stored result contains a secret that this run does not have: {name}",
        remedy="set the variable and name it in the spec as before, or run again with --fresh",
    )
