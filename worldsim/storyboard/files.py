"""Storyboards as YAML files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from worldsim.arrays import part, storing
from worldsim.envs.scenarios.lines import Lines, read_yaml
from worldsim.errors import ConfigError, nearest
from worldsim.storyboard.scenes import FPS, FieldError, Scene, Storyboard

T = TypeVar("T")

_KEYS: Final = ("name", "size", "fps", "scenes")
_SCENE_KEYS: Final = ("prompt", "seconds", "steps", "controller", "actions", "cut")
_BREAKS: Final = frozenset("\x85\u2028\u2029")
_HEADER: Final = """\
# A storyboard: scenes in order. A scene has
#   prompt      what is there, in words or as a caption
#   seconds     how long (or steps)
#   actions     keys held all the while: {forward: 1, camera: [0, 5]}; camera is pitch and yaw in degrees a step
#   controller  who plays instead of the keys: {name: explore, interact: 0.1}
#   cut         true: it starts anew instead of going on from the scene before
"""


def load(path: str | Path) -> Storyboard:
    """Reads a storyboard.

    Raises:
        ConfigError: If the file is missing, is not YAML, or has a wrong field; with file, line and field.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no file {path}; expected the YAML file of a storyboard, as docs/prompts.md shows it")
    try:
        data, lines = read_yaml(path)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text in UTF-8: {error}") from error
    _keys(data, _KEYS, lines, lines.path, "a storyboard", required=("name", "scenes"))
    entries = data["scenes"]
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ConfigError(f"{lines.where(data, 'scenes')}: scenes must be a list, got {entries!r}")
    scenes = tuple(
        _scene(entry, lines, f"{lines.where(data, 'scenes')}: scene {k + 1}") for k, entry in enumerate(entries)
    )
    size = data.get("size")
    values = {"name": data["name"], "scenes": scenes, "fps": data.get("fps", FPS)}
    return _made(Storyboard, values | {"size": tuple(size) if isinstance(size, list) else size}, data, lines)


def dump(storyboard: Storyboard, path: str | Path) -> None:
    """Writes a storyboard, whole or not at all. `load` gives it back; written again, it is the same bytes."""
    path = Path(path)
    plain: dict[str, Any] = {"name": storyboard.name}
    if storyboard.size is not None:
        plain["size"] = _Row(storyboard.size)
    plain |= {"fps": storyboard.fps, "scenes": [_plain(scene) for scene in storyboard.scenes]}
    text = yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)  # one line a prompt
    with storing(path):
        part(path).write_text(_HEADER + text, encoding="utf-8")
        part(path).replace(path)


def _scene(entry: Any, lines: Lines, where: str) -> Scene:
    _keys(entry, _SCENE_KEYS, lines, where, "a scene", required=("prompt",))
    values = dict(entry)
    if isinstance(values.get("controller"), str):
        values["controller"] = {"name": values["controller"]}
    for key in ("actions", "controller"):
        if values.get(key, {}) is None:  # "actions:" with nothing behind it
            del values[key]
    return _made(Scene, values, entry, lines)


def _made(kind: type[T], values: Mapping[str, Any], source: Any, lines: Lines) -> T:
    """Builds it; a wrong field is reported with its line."""
    try:
        return kind(**values)
    except FieldError as error:
        raise ConfigError(f"{lines.where(source, error.field)}: {error}") from error


def _keys(value: Any, known: Sequence[str], lines: Lines, where: str, what: str, required: Sequence[str]) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: {what} must be a mapping with {', '.join(known)}, got {value!r}")
    for key in value:
        if key not in known:
            raise ConfigError(
                f"{lines.where(value, key)}: {what} has no key {key!r}.{nearest(str(key), known)} "
                f"It has {', '.join(known)}"
            )
    missing = [key for key in required if key not in value]
    if missing:
        raise ConfigError(f"{lines.where(value)}: {what} needs {', '.join(missing)}")


def _plain(scene: Scene) -> dict[str, Any]:
    plain: dict[str, Any] = {"prompt": scene.prompt}
    plain |= {"seconds": scene.seconds} if scene.steps is None else {"steps": scene.steps}
    if scene.actions:
        camera = {"camera": list(scene.actions["camera"])} if "camera" in scene.actions else {}
        plain["actions"] = _Line({**scene.actions, **camera})
    if scene.controller:
        plain["controller"] = _Line(scene.controller)
    return plain | ({"cut": True} if scene.cut else {})


class _Line(dict[str, Any]):
    """A mapping on one line."""


class _Row(list[int]):
    """A list on one line."""


class _Dumper(yaml.SafeDumper):
    """Everything below each other, but `_Line` and `_Row`; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text with Unicode's own line breaks is quoted: bare, they would be read back as spaces."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _BREAKS & {*text} else None)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(
    _Line, lambda dumper, line: dumper.represent_mapping("tag:yaml.org,2002:map", line, flow_style=True)
)
_Dumper.add_representer(
    _Row, lambda dumper, row: dumper.represent_sequence("tag:yaml.org,2002:seq", row, flow_style=True)
)
