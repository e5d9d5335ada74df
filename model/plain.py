"""Frozen dataclasses to plain values and back, strictly: what `config.json` and recipe files hold."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from worldsim.errors import ConfigError, nearest

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dataclasses become mappings, tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    return value


def from_plain(kind: type[T], plain: Any, where: str) -> T:
    """Builds a dataclass, its nested ones too.

    Args:
        kind: The dataclass.
        plain: A mapping of its fields; those with defaults may be missing.
        where: For messages: the file, then the path of fields.

    Raises:
        ConfigError: For unknown or missing fields and values of a wrong type, with the nearest name.
    """
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{where}: expected a mapping of settings, got {type(plain).__name__}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in plain:
        if key not in fields:
            raise ConfigError(f"{where}: unknown setting {key!r}.{nearest(str(key), fields)}")
    missing = [
        n
        for n, f in fields.items()
        if n not in plain and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    return kind(**{k: _value(hints[k], v, f"{where}: {k}") for k, v in plain.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _value(next(a for a in args if a is not type(None)), value, where)
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{where} must be one of {', '.join(map(str, args))}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, got {value!r}")
        kinds = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else list(args)
        if len(kinds) != len(value):
            raise ConfigError(f"{where} must have {len(kinds)} entries, got {len(value)}")
        return tuple(_value(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, str, bool) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ConfigError(f"{where} must be {hint.__name__}, got {value!r}")
    if hint is float:
        raise ConfigError(f"{where} must be a number, got {value!r}")
    return value
