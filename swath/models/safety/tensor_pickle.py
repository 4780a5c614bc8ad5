"""Look through the pickles of torch's archives without running them: which names they ask for, and whether tensors fit their data.

torch.jit.load believes a pickle's sizes and strides: a tensor that is larger than its data is memory of the process. Nothing here
imports what a pickle names: all its objects become placeholders.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from swath.errors import ModelError
from swath.models.safety.archive import CODE, REMEDY, ModelArchive

ITEM_BYTES = {
    "BFloat16Storage": 2, "BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "ComplexDoubleStorage": 16, "ComplexFloatStorage": 8,
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "IntStorage": 4, "LongStorage": 8, "ShortStorage": 2,
}  # fmt: skip
"""Bytes of an item of each kind of storage."""

_OPCODES = {
    "PROTO", "STOP", "GLOBAL", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "BINUNICODE", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "APPEND", "APPENDS", "SETITEM", "SETITEMS", "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT", "BINPERSID", "REDUCE",
    "NEWOBJ", "BUILD",
}  # fmt: skip
"""What torch writes, in Python and in C++."""

_SAVED = frozenset(
    ["collections.OrderedDict", "torch.Size", "torch.device", "torch._utils._rebuild_parameter"]
    + [f"torch.{name}" for name in (
        "bfloat16", "bool", "complex128", "complex64", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint8",
    )]
)  # fmt: skip
_SCRIPTED = frozenset(
    ["collections.OrderedDict", "builtins.complex", "__builtin__.complex", "torch.device"]
    + [f"torch.jit._pickle.{name}" for name in (
        "build_boollist", "build_doublelist", "build_intlist", "build_tensorlist", "restore_type_tag",
    )]
)  # fmt: skip
_REBUILD = "torch._utils._rebuild_tensor_v2"
_CLASSES = "__torch__."
_COMPILED_CLASSES = "__torch__.torch.classes."


class _Refused(Exception):
    """Why a pickle is refused."""


class _Placeholder:
    """Stands for whatever a pickle makes; takes any arguments and any state."""

    def __new__(cls, *_: object, **__: object) -> _Placeholder:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass

    def __setitem__(self, _: object, __: object) -> None:
        pass


class _Dictionary(dict[Any, Any]):
    """An OrderedDict, which may have attributes."""

    def __setstate__(self, _: object) -> None:
        pass


@dataclass(frozen=True)
class _Storage:
    items: int


def check_script_pickle(archive: ModelArchive, name: str) -> None:
    """Raise ModelError unless a pickle of a TorchScript archive (data.pkl, constants.pkl) holds only TorchScript's own classes and
    tensors that lie within their data."""
    _check(archive, name, _SCRIPTED, scripted=True)


def check_saved_tensors(archive: ModelArchive) -> None:
    """Raise ModelError unless a file of torch.save holds only tensors, in Python's lists and dictionaries."""
    _check(archive, "data.pkl", _SAVED, scripted=False)


def check_extent(sizes: Sequence[int], strides: Sequence[int], offset: int, items: int) -> None:
    """Raise ValueError unless a view lies within a storage of so many items, and is not far larger than it."""
    if len(sizes) != len(strides) or offset < 0 or min((*sizes, *strides), default=0) < 0:
        raise ValueError(f"a tensor of sizes {list(sizes)}, strides {list(strides)} and offset {offset}")
    count = 1
    for size in sizes:
        count *= size
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if count and last >= items:
        raise ValueError(
            f"a tensor of sizes {list(sizes)} and strides {list(strides)} needs {last + 1} items of {items}"
        )
    if count > max(items, SPARE_ITEMS):
        raise ValueError(f"a tensor of sizes {list(sizes)} is stored as {items} items")


SPARE_ITEMS = 1 << 24
"""A tensor that is stored once for many (a stride of 0) has at most so many items."""


def _check(archive: ModelArchive, name: str, known: frozenset[str], *, scripted: bool) -> None:
    data = archive.read(name)
    try:
        for opcode, _, _ in pickletools.genops(data):
            if opcode.name not in _OPCODES:
                raise _Refused(f"the instruction {opcode.name}")
        _Reader(data, archive, name.removesuffix(".pkl"), known, scripted).load()
    except _Refused as error:
        raise ModelError(f"{archive.path}: {CODE}: {name} asks for {error}", remedy=REMEDY) from None
    except ModelError:
        raise
    # A pickle can make any of Python's operations fail; it calls nothing but what is above.
    except Exception as error:
        raise ModelError(f"{archive.path}: {name} is damaged: {error}") from error


class _Reader(pickle._Unpickler):
    """Python's own reader, not the one in C: TorchScript calls an enumeration with its value alone, which is no tuple."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, data: bytes, archive: ModelArchive, folder: str, known: frozenset[str], scripted: bool) -> None:
        super().__init__(io.BytesIO(data))
        self._archive, self._folder, self._known, self._scripted = archive, folder, known, scripted

    def find_class(self, module: str, name: str) -> Any:
        asked = f"{module}.{name}"
        if asked == _REBUILD:
            return self._rebuild
        if module == "torch" and name in ITEM_BYTES:
            return name
        if asked in ("torch.jit._pickle.restore_type_tag", "torch._utils._rebuild_parameter"):
            return _first
        if asked.startswith("torch.jit._pickle.") and asked in self._known:
            return _first
        if asked == "collections.OrderedDict":
            return _Dictionary
        if asked in self._known or (self._scripted and f"{asked}.".startswith(_CLASSES)):
            if asked.startswith(_COMPILED_CLASSES):
                raise _Refused(f"the compiled class {asked}")
            return _Placeholder
        raise _Refused(asked[:200])

    def load_reduce(self) -> None:
        """Call what is on the stack, which is one of the names above."""
        given = self.stack.pop()  # type: ignore[attr-defined]
        called = self.stack[-1]  # type: ignore[attr-defined]
        if isinstance(given, tuple):
            self.stack[-1] = called(*given)  # type: ignore[attr-defined]
        elif called is _Placeholder:
            self.stack[-1] = _Placeholder()  # type: ignore[attr-defined]
        else:
            raise _Refused("a call without arguments")

    dispatch[pickle.REDUCE[0]] = load_reduce

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, items = pid
        if kind != "storage" or storage not in ITEM_BYTES or not isinstance(items, int) or items < 0:
            raise _Refused("a storage of an unknown kind")
        entry = f"{self._folder}/{key}"
        stored = self._archive.size(entry) if items or entry in self._archive else 0
        if stored != items * ITEM_BYTES[storage]:
            raise _Refused(f"{items} items of a {storage} that has {stored} bytes")
        return _Storage(items)

    def _rebuild(
        self, storage: _Storage, offset: int, sizes: Sequence[int], strides: Sequence[int], *_: object
    ) -> _Placeholder:
        try:
            check_extent(sizes, strides, offset, storage.items)
        except ValueError as error:
            raise _Refused(str(error)) from None
        return _Placeholder()


def _first(value: Any, *_: object) -> Any:
    return value
