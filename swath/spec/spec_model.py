"""SpecModel: the base class of all pydantic models of a spec: frozen, strict, without unknown keys, with short forms."""

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
    """Base class of all parts of a spec: frozen, strict, no unknown keys.

    Strict: text is never converted to a number. A list is still accepted for a tuple, because YAML and JSON have only
    lists. A subclass with short forms, such as a text in place of a mapping, overrides `expand` and describes them in
    `short_schemas` (or in `forms`, if they are mappings with a model of their own).
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
    """Models of other mappings that are accepted instead."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        """The full form of a short form; other values are returned as they are. `info` has the validation's `context`."""
        return value

    @classmethod
    def as_mapping(cls, value: Any, info: Any) -> Any:
        """A short form as a mapping, so that an override can set a field of it."""
        return cls.expand(value, info)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _accept_lists(schema)
        if cls.expand.__func__ is SpecModel.expand.__func__:  # type: ignore[attr-defined]
            return schema
        # The validator goes into the schema that pydantic refers to: around the reference, only the first of two fields would have it.
        shared: Any = handler.resolve_ref_schema(schema)
        if not (shared["type"] == "function-before" and shared["function"]["function"] == cls._expand):
            inner: Any = {key: value for key, value in shared.items() if key != "ref"}
            outer = core_schema.with_info_before_validator_function(cls._expand, inner, ref=shared.get("ref"))
            shared.clear()
            shared.update(outer)
        return schema

    @classmethod
    def _expand(cls, value: Any, info: Any) -> Any:
        """Instances are complete already, as in `Predict(area=spec.area, ...)` in a pipeline."""
        return value if isinstance(value, cls) else cls.expand(value, info)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        reference = handler(schema)
        full = handler.resolve_ref_schema(reference)
        if "properties" not in full:  # pydantic calls this twice, for the model and for what is around it
            return reference
        described = field_docs(cls)
        for name, field in full["properties"].items():
            if name in described and cls.model_fields[name].description is None:
                field["description"] = described[name]
        if cls.short_schemas or cls.forms:
            mapping = dict(full)
            full.clear()
            full["description"] = mapping.pop("description", "")
            others = [handler(form.__pydantic_core_schema__) for form in _built(cls.forms)]
            full["anyOf"] = [*cls.short_schemas, *others, mapping]
        return reference


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field of a model, for JSON Schema and `pipe show`.

    It is parsed from the source on demand: pydantic's `use_attribute_docstrings` parses the source of every class when it is
    defined, which slows down every start.
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
        return {}  # a class without a file: its fields have no descriptions
    found: dict[str, str] = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for statement, after in pairwise(statements):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
            if isinstance(text, str):
                found[statement.target.id] = inspect.cleandoc(text)
    return found


class ShortForm:
    """Annotation of a field with a short form: `expand(value, info)` returns the full form. For models see SpecModel.expand.

    schemas: JSON Schema of each short form. one: also accepts a single item of a list.
    """

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
    """The exception that a validator raises for a mistake in a spec.

    `{name}` in the message is replaced by the value of that name; values from the environment are masked. at: path below the
    validated value, if a part of it is wrong.
    """
    return PydanticCustomError("swath", message, {"template": message, "at": at, "values": values, **values})


def _built(models: tuple[type[SpecModel], ...]) -> tuple[type[SpecModel], ...]:
    for model in models:
        model.model_rebuild()
    return models


def _accept_lists(schema: Any) -> None:
    """Let every container in a schema accept any sequence; its items stay strict."""
    if isinstance(schema, dict):
        kind = schema.get("type")  # it is a schema itself if a field has this name
        if isinstance(kind, str) and kind in _CONTAINERS:
            schema.setdefault("strict", False)
        for value in schema.values():
            _accept_lists(value)
    elif isinstance(schema, list):
        for value in schema:
            _accept_lists(value)
