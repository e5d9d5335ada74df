"""What a registered thing says of itself, read from its source file without importing it.

Listing ten models must not load torch ten times; and a plug-in that cannot be imported can still be described.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

_Node: TypeAlias = ast.ClassDef | ast.FunctionDef
_HOPS = 4  # re-exports followed from one module to the next


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A class or function as it stands in its file.

    Attributes:
        doc: Its docstring, dedented; "" if it has none.
        signature: Arguments of the function or constructor, as written.
        spec: For a metric: the keywords of its MetricSpec, as text.
        file: Where it is defined.
        line: The line of its first word.
    """

    doc: str
    signature: str
    file: Path
    line: int
    spec: dict[str, str] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """What it asks (a metric's summary), else the first line of its docstring."""
        return self.spec.get("summary", "") or self.doc.split("\n")[0].strip()


def find_definition(target: str, hops: int = _HOPS) -> Definition | None:
    """The definition behind "module:attribute" or "path/to/file.py:attribute"; None if it cannot be found."""
    module, _, attribute = target.rpartition(":")
    file = Path(module).expanduser() if module.endswith(".py") else _file(module)
    if file is None or not file.is_file():
        return None
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            return Definition(
                doc=ast.get_docstring(node) or "",
                signature=_signature(node),
                file=file,
                line=node.lineno,
                spec=_spec(node, _constants(tree)),
            )
        if hops and isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == attribute:
                    return find_definition(f"{node.module}:{alias.name}", hops - 1)
    return None


def _file(module: str) -> Path | None:
    head, *rest = module.split(".")
    try:
        found = importlib.util.find_spec(head)  # a top-level name is located without importing it
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    if not rest:
        return Path(found.origin) if found.origin else None
    for folder in found.submodule_search_locations or ():
        base = Path(folder, *rest)
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return file
    return None


def _signature(node: _Node) -> str:
    if isinstance(node, ast.FunctionDef):
        return ast.unparse(node.args)
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return ast.unparse(inner.args).removeprefix("self").removeprefix(", ")
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return ", ".join(ast.unparse(inner) for inner in node.body if isinstance(inner, ast.AnnAssign))
    return ""


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """NAME = value at the top of a module."""
    return {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    }


def _spec(node: _Node, constants: dict[str, ast.expr]) -> dict[str, str]:
    for inner in node.body:
        value = inner.value if isinstance(inner, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("MetricSpec"):
            return {word.arg: _text(word.value, constants) for word in value.keywords if word.arg}
    return {}


def _text(node: ast.expr, constants: dict[str, ast.expr]) -> str:
    """A value as words; what is more than literals, names of literals and their unions, as it is written."""
    try:
        value = _value(node, constants)
    except (ValueError, TypeError):
        return ast.unparse(node)
    if isinstance(value, set):
        return ", ".join(sorted(map(str, value)))
    if isinstance(value, tuple) and all(isinstance(part, str) for part in value):
        return "; ".join(value)
    return value if isinstance(value, str) else repr(value)


def _value(node: ast.expr, constants: dict[str, ast.expr]) -> Any:
    """Raises ValueError for what is not made of literals."""
    match node:
        case ast.Name(id=name) if name in constants:
            return _value(constants[name], constants)
        case ast.Tuple(elts=parts):
            rows = [
                _value(part.value, constants) if isinstance(part, ast.Starred) else (_value(part, constants),)
                for part in parts
            ]
            return tuple(value for row in rows for value in row)
        case ast.Call(func=ast.Name(id="frozenset"), args=[inner]):
            return set(_value(inner, constants))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _value(left, constants) | _value(right, constants)
    return ast.literal_eval(node)
