"""What a registered thing says of itself, read from its source file without importing it.

Listing ten models must not load torch ten times; and a plug-in that cannot be imported can still be described.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

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


class _Substitute(ast.NodeTransformer):
    def __init__(self, constants: dict[str, ast.expr]) -> None:
        self.constants = constants

    def visit_Name(self, node: ast.Name) -> ast.expr:  # ast's own naming
        return self.constants.get(node.id, node)


def _spec(node: _Node, constants: dict[str, ast.expr]) -> dict[str, str]:
    for inner in node.body:
        value = inner.value if isinstance(inner, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("MetricSpec"):
            swap = _Substitute(constants)
            return {word.arg: _text(swap.visit(word.value)) for word in value.keywords if word.arg}
    return {}


def _text(value: ast.expr) -> str:
    try:
        plain = ast.literal_eval(value)
    except ValueError:
        return ast.unparse(value)
    return plain if isinstance(plain, str) else repr(plain)
