"""Alternatives as data: a recipe from a scenario file becomes an `Intervention` in one world.

A recipe is a mapping of plain values:

- `{}` is the truth itself;
- `{"edit": "RemoveObject", "object_id": "$focus.object_id"}` is one edit, its fields by name;
- `{"edits": [{...}, {...}]}` are several edits that make one fact;
- `{"edits": [...], "then": [...], "then_at": "hidden"}`: some of them are made later, at another mark;
- `{"prompt": "..."}` is another prompt, `{"actions": "$focus.actions.left"}` are other actions from there on;
- `say` in any of them is what the report calls it.

Values may refer to the world: `"$focus.cell"` is what the controller recorded, `"$object.colour"` an attribute of the
instance `$focus.object_id` (also `id kind position size base`), `{"offset": V, "by": [1, 0, 0]}` a shifted
position, and `{"other_than": V, "of": [...]}` the entry that follows V in a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

import numpy as np

from worldsim import trees
from worldsim.errors import ConfigError, nearest
from worldsim.truth import (
    EDITS,
    ActionChange,
    Edit,
    EditSequence,
    Intervention,
    ObjectState,
    PromptChange,
    TruthState,
)

Recipe: TypeAlias = Mapping[str, Any]

_FORMS = ("edit", "edits", "prompt", "actions")


def check_recipe(recipe: Recipe) -> None:
    """Raises ConfigError unless the recipe has one of the forms above with known edits and fields."""
    forms = [form for form in _FORMS if form in recipe]
    rest = set(recipe) - {"say"}
    if {"then", "then_at"} & rest:
        if forms != ["edits"] or not {"then", "then_at"} <= rest:
            raise ConfigError(f"'then' and 'then_at' come together, and with 'edits', got {sorted(rest)}")
        _check_edits(recipe["then"], "then")
        rest -= {"then", "then_at"}
    if not rest:
        return
    if len(forms) != 1:
        stranger = next(iter(rest - set(_FORMS)), "")
        raise ConfigError(
            f"a recipe holds one of {', '.join(_FORMS)} (or nothing: the truth itself), got "
            f"{sorted(rest)}.{nearest(stranger, _FORMS) if stranger and not forms else ''}"
        )
    if forms == ["edit"]:
        _check_edit({k: v for k, v in recipe.items() if k != "say"})
        return
    if rest != {forms[0]}:
        raise ConfigError(f"a recipe with {forms[0]!r} has no other keys but 'say', got {sorted(rest)}")
    if forms == ["edits"]:
        _check_edits(recipe["edits"], "edits")


def resolve_alternative(recipe: Recipe, focus: Mapping[str, Any], truth: TruthState) -> Intervention:
    """The intervention that a recipe means in one world.

    Args:
        recipe: As above.
        focus: What the controller recorded.
        truth: State at the moment of the change.

    Raises:
        ConfigError: If the recipe is malformed, or refers to something that this world does not have.
    """
    check_recipe(recipe)
    say = str(recipe.get("say", ""))
    if "edit" in recipe:
        edit = _edit({k: v for k, v in recipe.items() if k != "say"}, focus, truth)
        return Intervention(description=say or describe(edit), change=edit)
    if "edits" in recipe:
        edits = tuple(_edit(step, focus, truth) for step in recipe["edits"])
        return Intervention(
            description=say or "; ".join(map(describe, edits)),
            change=EditSequence(edits=edits),
            later=tuple(_edit(step, focus, truth) for step in recipe.get("then", ())),
            later_at=str(recipe.get("then_at", "")),
        )
    if "prompt" in recipe:
        prompt = str(_value(recipe["prompt"], focus, truth))
        return Intervention(description=say or f"the prompt says: {prompt}", change=PromptChange(prompt=prompt))
    if "actions" in recipe:
        actions = trees.map_leaves(np.asarray, _value(recipe["actions"], focus, truth))
        return Intervention(description=say or "other actions", change=ActionChange(actions=actions))
    return Intervention(description=say or "as it was")


def edits_of(intervention: Intervention) -> tuple[Edit, ...]:
    """The edits of an intervention in order: none for the truth itself, other actions or another prompt."""
    change = intervention.change
    if change is None or isinstance(change, ActionChange | PromptChange):
        return ()
    return change.edits if isinstance(change, EditSequence) else (change,)


def describe(edit: Edit) -> str:
    """An edit in words: "RemoveObject: object_id 3"."""
    values = ", ".join(f"{f.name} {getattr(edit, f.name)}" for f in fields(edit))
    return f"{type(edit).__name__}: {values}"


def _check_edits(steps: Any, key: str) -> None:
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        raise ConfigError(f"{key!r} must be a list of edits, got {steps!r}")
    for step in steps:
        _check_edit(step)


def _check_edit(step: Any) -> None:
    if not isinstance(step, Mapping) or "edit" not in step:
        raise ConfigError(f"an edit is a mapping with the key 'edit', got {step!r}")
    name = str(step["edit"])
    if name not in EDITS:
        raise ConfigError(f"no edit is called {name!r}.{nearest(name, EDITS)} Known: {', '.join(EDITS)}")
    known = [f.name for f in fields(EDITS[name])]
    for key in step:
        if key != "edit" and key not in known:
            raise ConfigError(f"{name} has no field {key!r}.{nearest(str(key), known)} It has {', '.join(known)}")


def _edit(step: Mapping[str, Any], focus: Mapping[str, Any], truth: TruthState) -> Edit:
    name = step["edit"]
    values = {key: _value(value, focus, truth) for key, value in step.items() if key != "edit"}
    try:
        edit: Edit = EDITS[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except TypeError as error:
        raise ConfigError(f"the recipe for {name} is incomplete: {error}") from error
    return edit


def _value(value: Any, focus: Mapping[str, Any], truth: TruthState) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        return _look_up(value, focus, truth)
    if isinstance(value, Mapping) and "offset" in value:
        base, by = _value(value["offset"], focus, truth), _value(value["by"], focus, truth)
        return [a + b for a, b in zip(base, by, strict=True)]
    if isinstance(value, Mapping) and "other_than" in value:
        current, choices = _value(value["other_than"], focus, truth), list(_value(value["of"], focus, truth))
        # The next one in the list, not a draw: the same world gives the same alternative on every machine.
        start = choices.index(current) + 1 if current in choices else 0
        others = [c for c in choices[start:] + choices[:start] if c != current]
        if not others:
            raise ConfigError(f"no choice other than {current!r} in {choices}")
        return others[0]
    if isinstance(value, Mapping):
        return {key: _value(inner, focus, truth) for key, inner in value.items()}
    return [_value(v, focus, truth) for v in value] if isinstance(value, list | tuple) else value


def _look_up(reference: str, focus: Mapping[str, Any], truth: TruthState) -> Any:
    root, *path = reference[1:].split(".")
    node: Any
    if root == "focus":
        node = focus
    elif root == "object":
        node = _object_values(focus, truth)
    else:
        raise ConfigError(f"{reference!r} must start with $focus or $object")
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            known = sorted(node) if isinstance(node, Mapping) else []
            raise ConfigError(f"{reference!r} is not known in this world: there is {known}.{nearest(key, known)}")
        node = node[key]
    return node


def _object_values(focus: Mapping[str, Any], truth: TruthState) -> dict[str, Any]:
    wanted = focus.get("object_id")
    found: ObjectState | None = next((o for o in truth.objects if o.id == wanted), None)
    if found is None:
        raise ConfigError(f"$object needs focus.object_id to be an instance of this world, got {wanted!r}")
    base = found.position - np.array([0.0, found.size[1] / 2, 0.0])
    own = {"id": found.id, "kind": found.kind, "position": found.position.tolist(), "size": found.size.tolist()}
    return {**found.attributes, **own, "base": base.tolist()}
