"""YAML that remembers its lines, so that a message can point at them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from worldsim.errors import ConfigError


class Lines:
    """Where each mapping of a YAML file, and each of its keys, stands."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._starts: dict[int, tuple[Any, int]] = {}  # by id; the value is kept, so that an id is never reused
        self._keys: dict[tuple[int, str], int] = {}

    def add(self, value: Mapping[str, Any], line: int, keys: Mapping[str, int]) -> None:
        """Remembers the lines (from 1) of a mapping and its keys."""
        self._starts[id(value)] = (value, line)
        self._keys |= {(id(value), key): at for key, at in keys.items()}

    def where(self, value: Any, key: Any = None) -> str:
        """Says "file:line" of a mapping or one of its keys; the file alone if that is not known."""
        line = self._keys.get((id(value), str(key))) or self._starts.get(id(value), (None, 0))[1]
        return f"{self.path}:{line}" if line else self.path


def read_yaml(path: Path) -> tuple[Any, Lines]:
    """The plain values of a file and where they stand. A key that comes twice is refused."""
    lines = Lines(path)

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: yaml.MappingNode) -> dict[str, Any]:
        value: dict[str, Any] = {}
        keys: dict[str, int] = {}
        own = [str(loader.construct_object(k, deep=True)) for k, _ in node.value]
        for key, (key_node, _) in zip(own, node.value, strict=True):
            if own.count(key) > 1:
                raise ConfigError(f"{path}:{key_node.start_mark.line + 1}: the key {key!r} comes twice")
        loader.flatten_mapping(node)  # "<<" merges; keys of its own come last and win
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            value[key] = loader.construct_object(value_node, deep=True)
            keys[key] = key_node.start_mark.line + 1
        lines.add(value, node.start_mark.line + 1, keys)
        return value

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, Loader), lines
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
