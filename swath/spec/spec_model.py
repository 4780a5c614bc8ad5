"""How every part of a spec is typed: frozen, strictly, without unknown keys; and how a part declares its short form."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_CONTAINERS = frozenset({"list", "tuple", "set", "frozenset"})


class SpecModel(BaseModel):
    """Base of every part of a spec: frozen, typed strictly, no unknown keys.

    Strict means that text is never read as a number; a list is still accepted for a tuple, because YAML and JSON
    have only lists. A subclass that can also be written shortly overrides `expand`, and describes its short
    forms in `short_schemas` (or in `forms`, when they are mappings with a model of their own).
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        defer_build=True,
        hide_input_in_errors=True,
    )

    short_schemas: ClassVar[tuple[dict[str, Any], ...]] = ()
    """JSON Schema of each short form."""
    forms: ClassVar[tuple[type[SpecModel], ...]] = ()
    """Other mappings that may stand in this one's place."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        """The full form of a short one; `info` has the loading `context`. Anything else is returned as it is."""
        return value

    @classmethod
    def as_mapping(cls, value: Any, info: Any) -> Any:
        """A short form as the mapping that it stands for, so that an override can set something in it."""
        return cls.expand(value, info)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _accept_lists(schema)
        if cls.expand.__func__ is SpecModel.expand.__func__:  # type: ignore[attr-defined]
            return schema
        # Put inside of what pydantic keeps by reference: around the reference, only the first of two fields would have it.
        kept: Any = handler.resolve_ref_schema(schema)
        if not (kept["type"] == "function-before" and kept["function"]["function"] == cls._expand):
            inner: Any = {key: value for key, value in kept.items() if key != "ref"}
            outer = core_schema.with_info_before_validator_function(cls._expand, inner, ref=kept.get("ref"))
            kept.clear()
            kept.update(outer)
        return schema

    @classmethod
    def _expand(cls, value: Any, info: Any) -> Any:
        """What was made in Python already is whole: `Predict(area=spec.area, ...)` in a pipeline."""
        return value if isinstance(value, cls) else cls.expand(value, info)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        reference = handler(schema)
        full = handler.resolve_ref_schema(reference)
        if "properties" not in full:  # pydantic comes by twice, for the model and for what is around it
            return reference
        said = field_docs(cls)
        for name, field in full["properties"].items():
            if name in said and cls.model_fields[name].description is None:
                field["description"] = said[name]
        if cls.short_schemas or cls.forms:
            mapping = dict(full)
            full.clear()
            full["description"] = mapping.pop("description", "")
            others = [handler(form.__pydantic_core_schema__) for form in _built(cls.forms)]
            full["anyOf"] = [*cls.short_schemas, *others, mapping]
        return reference


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """What the docstring below each field of a model says, for JSON Schema and `pipe show`.

    Read from the source only when it is asked for: pydantic's `use_attribute_docstrings` parses the source of every
    class when it is defined, which took a third of the time of `pipe list`.
    """
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            found |= _docs_of(kind)
    return {name: text for name, text in found.items() if name in model.model_fields}


@cache
def _docs_of(kind: type) -> dict[str, str]:
    import ast
    import inspect
    import textwrap

    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return {}  # a class that has no file; nothing but descriptions is lost
    found: dict[str, str] = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for statement, after in pairwise(statements):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
            if isinstance(text, str):
                found[statement.target.id] = inspect.cleandoc(text)
    return found


class ShortForm:
    """Annotation of a field (not of a model) that has a short form: `expand(value, info)` gives the full one. With `one`, a field of
    several may also be given as one of them."""

    def __init__(self, expand: Callable[[Any, Any], Any], *schemas: dict[str, Any], one: bool = False) -> None:
        self.expand = expand
        self.schemas = schemas
        self.one = one

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        full = handler(schema)
        members = full.pop("oneOf", None) or [dict(full)]
        one = [members[0]["items"]] if self.one else []
        return {"anyOf": [*self.schemas, *one, *members]}


def mistake(message: str, *, at: tuple[str | int, ...] = (), **values: object) -> PydanticCustomError:
    """What a validator raises to report a mistake of the spec's author.

    `{name}` in the message is filled from `values`; what came from the environment is masked there. `at` is the path
    below the validated value, when a part of it is to blame.
    """
    return PydanticCustomError("swath", message, {"template": message, "at": at, "values": values, **values})


def _built(models: tuple[type[SpecModel], ...]) -> tuple[type[SpecModel], ...]:
    for model in models:
        model.model_rebuild()
    return models


def _accept_lists(schema: Any) -> None:
    """Let every container of a model's own fields take any sequence; what is in it stays strict."""
    if isinstance(schema, dict):
        kind = schema.get("type")  # a schema of its own where a field has this name
        if isinstance(kind, str) and kind in _CONTAINERS:
            schema.setdefault("strict", False)
        for value in schema.values():
            _accept_lists(value)
    elif isinstance(schema, list):
        for value in schema:
            _accept_lists(value)
