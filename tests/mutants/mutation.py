"""All mutations of a Python file: one operator of Cosmic Ray, or one of the two below, at one place."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import parso
from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

_PAIRS = {
    "BinaryOperator": "Add_Sub Sub_Add Mul_Div Mul_FloorDiv Div_Mul FloorDiv_Mul FloorDiv_Div Mod_FloorDiv Pow_Mul RShift_LShift "
    "LShift_RShift BitOr_BitAnd BitAnd_BitOr BitXor_BitAnd",
    "ComparisonOperator": "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is",
    "UnaryOperator": "USub_UAdd Invert_UAdd Delete_Not",
}
_OTHERS = (
    "AddNot ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceAndWithOr ReplaceOrWithAnd ReplaceBreakWithContinue "
    "ReplaceContinueWithBreak ExceptionReplacer NumberReplacer RemoveDecorator ZeroIterationForLoop"
)
_NAMES = (
    *(f"core/Replace{kind}_{pair}" for kind, pairs in _PAIRS.items() for pair in pairs.split()),
    *(f"core/{name}" for name in _OTHERS.split()),
)
"""Of the replacements of one operator those that a mistake would make: its opposite, and the neighbour of a limit."""


class RemoveStatement(Operator):
    """Replaces a call whose value is not used, an augmented assignment or a `raise` with `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "simple_stmt" and _is_removable(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        first = node.children[0]
        node.children[0] = parso.python.tree.Keyword("pass", first.start_pos, prefix=first.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


def _is_removable(node: Any) -> bool:
    if node.type == "raise_stmt":
        return True
    if node.type == "expr_stmt":
        return getattr(node.children[1], "value", "") in ("+=", "-=", "*=", "/=", "//=", "|=", "&=")
    return node.type in ("atom_expr", "await") and not node.get_code().lstrip().startswith(("log.debug", "log.info"))


class KeepElse(Operator):
    """Replaces `a if condition else b` with `b`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "ternary" and len(node.children) == 5:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        kept = node.children[4]
        kept.get_first_leaf().prefix = node.get_first_leaf().prefix
        return kept

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


@dataclass(frozen=True)
class Mutation:
    """One changed place."""

    module: str
    """Path of the file in the repository."""
    operator: str
    occurrence: int
    line: int
    column: int

    @property
    def name(self) -> str:
        return f"{self.module}:{self.line}:{self.column} {self.operator.rpartition('/')[2]} {self.occurrence}"


@cache
def operators() -> dict[str, Operator]:
    """The operators by name."""
    known = set(operator_names())
    if missing := [name for name in _NAMES if name not in known]:
        raise RuntimeError(f"this Cosmic Ray has no {', '.join(missing)}")
    return {name: get_operator(name)() for name in _NAMES} | {
        "RemoveStatement": RemoveStatement(),
        "KeepElse": KeepElse(),
    }


class _Places(Visitor):
    def __init__(self, module: str) -> None:
        self._module = module
        self.found: list[Mutation] = []
        self._counts = dict.fromkeys(operators(), 0)

    def visit(self, node: Any) -> Any:
        for name, operator in operators().items():
            for start, _ in operator.mutation_positions(node):
                self.found.append(Mutation(self._module, name, self._counts[name], *start))
                self._counts[name] += 1
        return node


class _Change(Visitor):
    def __init__(self, mutation: Mutation) -> None:
        self._operator = operators()[mutation.operator]
        self._left = mutation.occurrence

    def visit(self, node: Any) -> Any:
        for index, _ in enumerate(self._operator.mutation_positions(node)):
            if self._left == 0:
                node = self._operator.mutate(node, index)
            self._left -= 1
        return node


def mutations_of(root: Path, module: str) -> list[Mutation]:
    """All places of a file; also those whose change does nothing."""
    places = _Places(module)
    places.walk(get_ast((root / module).read_text()))
    return places.found


def mutated(source: str, mutation: Mutation) -> str | None:
    """The changed file; None where it is no Python, or where only annotations, imports for type checkers or options of dataclasses are
    changed."""
    try:
        code: str = _Change(mutation).walk(get_ast(source)).get_code()
    except (
        AttributeError
    ):  # Cosmic Ray replaces exceptions by names only, not by expressions such as urllib3.exceptions.HTTPError
        return None
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return None
    return None if _essence(tree) == _essence(ast.parse(source)) else code


def difference(source: str, code: str, module: str) -> str:
    """The change as a diff."""
    lines = difflib.unified_diff(source.splitlines(), code.splitlines(), module, module, lineterm="", n=2)
    return "\n".join(lines)


def _essence(tree: ast.Module) -> str:
    return ast.dump(_Strip().visit(tree))


class _Strip(ast.NodeTransformer):
    """Takes off what changes nothing at run time."""

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("dataclass"):
                decorator.keywords = []
        self.generic_visit(node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            return None
        self.generic_visit(node)
        return node
