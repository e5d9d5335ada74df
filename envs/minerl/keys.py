"""From MineRL 1.0's key names to the actions of the task that is played, whichever version of `minerl` plays it.

1.0's tasks have those keys, and everything else happens in the game's own windows. 0.4.4's have some of them, and word
actions beside: `equip`, `place`, `craft`, `nearbyCraft`, `nearbySmelt`, each the name of an item or "none". Two forms
of one space:

"minerl"  the names of 1.0 that the task can do. Where it has no hotbar but words, `hotbar.k` takes the k-th item in
          hand (`equip`, where the task has it), and `use` places the item in hand (`place`). Crafting has no key.
"native"  every action of the task under its own name; a word action is a `NamedDiscrete` whose 0 is "none", without
          "other", which names no item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.envs.actions import KEYS
from worldsim.errors import ConfigError, ShapeError
from worldsim.spaces import NamedDiscrete

FORMS = ("minerl", "native")
SLOTS = 9
_NOTHING = ("none", "other")  # values of a word action that name no item

Described = Mapping[str, Mapping[str, Any]]  # name -> how the worker describes its space


class Keys:
    """The action space of one task and the way into its own; remembers the item in hand within an episode."""

    def __init__(self, described: Described, form: str = "minerl", hotbar: Sequence[str] | None = None) -> None:
        """Reads what the task can do.

        Args:
            described: As the worker says.
            form: "minerl" or "native".
            hotbar: Items of `hotbar.1`, `hotbar.2`, ... where the task has words; None = those it names, `equip` first.

        Raises:
            ConfigError: For another form, an item that the task does not know, or a task without keys.
        """
        if form not in FORMS:
            raise ConfigError(f"actions must be one of {', '.join(FORMS)}, got {form!r}")
        self.form, self._described = form, described
        self._keys = tuple(k for k in KEYS if _is_key(described.get(k)))
        if not self._keys or described.get("camera", {}).get("shape") != [2]:
            raise ConfigError(
                f"the task's actions are {', '.join(described)}: no keys and no camera. Tasks whose name ends in "
                "Vector or VectorObf hide them in a vector without meaning outside; take the task without that ending"
            )
        self.items = self._hotbar(hotbar)
        self._hand = ""
        self.space = self._native_space() if form == "native" else self._minerl_space()
        self.left_out = tuple(sorted(k for k in described if k not in self._reached()))
        self.reset()

    def reset(self) -> None:
        """A new episode: in hand is the first item that can be placed."""
        self._hand = next((item for item in self.items if item in self._words("place")), "")

    def __call__(self, action: Any) -> dict[str, Any]:
        """One action of `space` as the task's own: name -> 0 or 1, a word, or a list of numbers.

        Raises:
            ShapeError: If the action is not one of `space`.
        """
        if not isinstance(action, Mapping) or action.keys() != self.space.spaces.keys():
            got = ", ".join(map(str, action)) if isinstance(action, Mapping) else repr(action)
            raise ShapeError(f"an action must be a dict with {', '.join(self.space.spaces)}, got {got}")
        out = {name: _value(name, space, action[name]) for name, space in self.space.spaces.items()}
        return out if self.form == "native" else self._translate(out)

    def _translate(self, pressed: dict[str, Any]) -> dict[str, Any]:
        out = {k: v for k, v in pressed.items() if k in self._described}
        for slot, item in enumerate(self.items, 1):
            if pressed[f"hotbar.{slot}"]:
                self._hand = item
                if item in self._words("equip"):
                    out["equip"] = item
                break
        if "use" not in self._described and pressed.get("use") and self._hand in self._words("place"):
            out["place"] = self._hand
        return out

    # ------------------------------------------------------------------------------------------------------ spaces

    def _minerl_space(self) -> gym.spaces.Dict:
        names = set(self._keys) | {f"hotbar.{slot + 1}" for slot in range(len(self.items))}
        if self._words("place"):
            names.add("use")
        spaces: dict[str, gym.Space[Any]] = {key: gym.spaces.Discrete(2) for key in KEYS if key in names}
        return gym.spaces.Dict(spaces | {"camera": _camera()})

    def _native_space(self) -> gym.spaces.Dict:
        spaces: dict[str, gym.Space[Any]] = {}
        for name, said in self._described.items():
            if name == "camera":
                spaces[name] = _camera()
            elif said["type"] == "discrete":
                spaces[name] = gym.spaces.Discrete(int(said["n"]))
            elif said["type"] == "enum":  # "none" first: the value 0 of every action does nothing
                rest = [word for word in said["values"] if word not in (said["default"], "other")]
                spaces[name] = NamedDiscrete((said["default"], *rest))
        return gym.spaces.Dict(spaces)

    def _reached(self) -> set[str]:
        """The task's own actions that `space` can cause."""
        if self.form == "native":
            return set(self.space.spaces)
        return {*self._keys, "camera", *(word for word in ("equip", "place") if self._words(word))}

    def _hotbar(self, wanted: Sequence[str] | None) -> tuple[str, ...]:
        known = tuple(dict.fromkeys((*self._words("equip"), *self._words("place"))))
        if self.form == "native" or "hotbar.1" in self._keys:
            known = ()
        if wanted is None:
            return known[:SLOTS]
        strange = [item for item in wanted if item not in known]
        if strange or len(wanted) > SLOTS:
            raise ConfigError(
                f"hotbar takes up to {SLOTS} items that the task equips or places by name "
                f"({', '.join(known) or 'this one has none'}), got {', '.join(wanted)}"
            )
        return tuple(wanted)

    def _words(self, name: str) -> tuple[str, ...]:
        """The items of a word action; none where the task has no such action."""
        said = self._described.get(name, {})
        return tuple(v for v in said.get("values", ()) if v not in _NOTHING) if said.get("type") == "enum" else ()


def _is_key(said: Mapping[str, Any] | None) -> bool:
    return said is not None and said["type"] == "discrete" and said["n"] == 2


def _camera() -> gym.spaces.Box:
    """(pitch, yaw) in degrees, positive down and right: the same in both versions."""
    return gym.spaces.Box(-180.0, 180.0, (2,), np.float32)


def _value(name: str, space: gym.Space[Any], value: Any) -> Any:
    """One value of an action as JSON; raises ShapeError where it does not lie in its space."""
    if isinstance(space, gym.spaces.Box):
        turn = np.asarray(value, np.float32)
        if turn.shape != space.shape or not np.isfinite(turn).all():
            raise ShapeError(f"{name} must be (pitch, yaw) in degrees, got {value!r}")
        return [float(v) for v in np.clip(turn, space.low, space.high)]
    number = np.asarray(value)
    if not isinstance(space, gym.spaces.Discrete) or number.shape != () or number.dtype.kind not in "biu":
        raise ShapeError(f"{name} must be an integer, got {value!r}")
    if not 0 <= int(number) < int(space.n):
        raise ShapeError(f"{name} must be in 0..{int(space.n) - 1}, got {value!r}")
    return space.names[int(number)] if isinstance(space, NamedDiscrete) else int(number)
