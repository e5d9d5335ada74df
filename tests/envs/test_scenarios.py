from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worldsim import recipes
from worldsim.envs.scenarios import list_sets, load_set
from worldsim.errors import ConfigError, UnknownNameError
from worldsim.plan import FAMILIES
from worldsim.registry import CONTROLLERS
from worldsim.truth import (
    ActionChange,
    EditSequence,
    MoveObject,
    ObjectState,
    PromptChange,
    RecolourObject,
    RemoveObject,
    SetCell,
    TruthState,
)

#: What metrics ask about; see worldsim.metrics.events.
EVENTS = {"identity", "watched", "evolution", "effect", "persistence", "colour"}

MINE = """
name: mine
version: 3
defaults:
  env: blocks
  env_kwargs: {preset: arena}
  context: 4
alternatives:
  gone: {present: {}, absent: {edit: RemoveObject, object_id: $focus.object_id}}
scenarios:
  - name: away
    controller: script
    controller_kwargs: {probe: look_away_return, angle: 60}
    env_kwargs: {size: [32, 32]}
    horizon: 20
    branches: [{name: b, at: hidden, judge: return, alternatives: gone}]
    prompts: [[0, a red chest]]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    found = load_set(write(tmp_path, MINE))
    (scenario,) = found.scenarios
    assert (found.name, found.version, scenario.horizon, scenario.context) == ("mine", 3, 20, 4)
    assert scenario.env_kwargs == {"preset": "arena", "size": [32, 32]}
    assert scenario.controller_kwargs == {"probe": "look_away_return", "angle": 60, "context": 4, "horizon": 20}
    assert scenario.prompts == ((0, "a red chest"),)
    assert scenario.branches[0].judge == ("return",)
    assert scenario.branches[0].alternatives["present"] == {}


def test_the_hash_follows_the_meaning_not_the_spelling(tmp_path: Path) -> None:
    first = load_set(write(tmp_path, MINE)).hash
    assert load_set(write(tmp_path, MINE + "\n# a comment\n")).hash == first
    assert load_set(write(tmp_path, MINE.replace("angle: 60", "angle: 61"))).hash != first
    assert load_set(write(tmp_path, MINE.replace("version: 3", "version: 4"))).hash != first


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "    horizon: 20",
            "    horizont: 20",
            r"mine.yaml:15: a scenario has no key 'horizont'. Did you mean 'horizon'",
        ),
        ("controller: script", "controller: scirpt", r"mine.yaml:11.*Did you mean 'script'"),
        ("horizon: 20", "horizon: many", "horizon must be int, got 'many'"),
        ("horizon: 20", "horizon: 0", "horizon must be >= 1"),
        ("alternatives: gone}", "alternatives: gnoe}", "Did you mean 'gone'"),
        ("edit: RemoveObject", "edit: RemoveObjects", "Did you mean 'RemoveObject'"),
        ("object_id: $", "objekt_id: $", "Did you mean 'object_id'"),
        ("name: mine", "name: mine\nname: yours", "comes twice"),
        ("  - name: away", "  - summary: nameless", "needs name"),
        ("version: 3", "version: '3'", "version must be int"),
        ("prompts: [[0, a red chest]]", "prompts: [a red chest]", r"\[step, text\]"),
        ("name: mine", "name: [mine", "is not YAML"),
        ("alternatives: gone}", "alternatives: gone, balance: [there]}", r"balances \['there'\], which are not among"),
        ("alternatives: gone}", "alternatives: gone, tell: true}", "`tell` says which alternative"),
        ("alternatives: gone}", "alternatives: gone, yaws: [0]}", "degrees other than 0"),
        ("alternatives: gone}", "alternatives: gone, yaw: [3]}", "Did you mean 'yaws'"),
        ("    horizon: 20", "    horizon: 20\n    sham: true\n    variants: {a: {}}", "either sham or variants"),
        ("    horizon: 20", "    horizon: 20\n    variants: {a: 3}", "'a' must be a mapping of controller arguments"),
        ("    horizon: 20", "    horizon: 20\n    views: [{name: b, judge: return, places: return}]", "b comes twice"),
        ("    horizon: 20", "    horizon: 20\n    views: [{name: v, judge: a, places: b, turns: 0}]", "at least 1"),
        ("at: hidden, ", "", "needs at"),
    ],
)
def test_mistakes_are_pointed_at(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MINE
    with pytest.raises(ConfigError, match=message):
        load_set(write(tmp_path, MINE.replace(old, new)))


def test_unknown_sets() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'quick'"):
        load_set("quik")
    with pytest.raises(UnknownNameError, match="no file"):
        load_set("nowhere/mine.yaml")
    assert list_sets("nothing") == []


@pytest.mark.parametrize(
    ("env", "name"),
    [(env, name) for env in ("blocks", "doom", "minecraft", "minerl", "gym") for name in list_sets(env)],
)
def test_sets_that_come_along(env: str, name: str) -> None:
    found = load_set(name, env="gym:CartPole-v1" if env == "gym" else env)
    assert found.name == name
    for scenario in found.scenarios:
        assert scenario.summary, f"{scenario.name} says what it asks"
        assert scenario.probes
        for variant in scenario.variants.values() or ({},):
            CONTROLLERS.get(scenario.controller)(**scenario.controller_kwargs, **variant)  # refuses unknown options
        for point in scenario.branches:
            truths = [a for a, recipe in point.alternatives.items() if not set(recipe) - {"say"}]
            assert len(truths) <= 1
            assert len(point.alternatives) >= 2
            assert point.name in EVENTS
            assert scenario.sham or point.balance, "law 2: every answer is the truth equally often"
        assert all(view.name == "place" for view in scenario.views)
        assert scenario.probes <= FAMILIES


def test_the_sets_ask_after_each_absence_and_in_every_family() -> None:
    scenarios = {s.name: s for name in ("core", "long") for s in load_set(name).scenarios}
    for steps in (8, 32, 128, 512):
        for kind, event in (("look_away", "identity"), ("place", "persistence")):
            assert event in {point.name for point in scenarios[f"{kind}_{steps}"].branches}
    core = load_set("core").scenarios
    assert {family for s in core for family in s.probes} == FAMILIES
    assert {point.name for s in core for point in s.branches} == EVENTS
    lattice = [point for s in core for point in s.branches if point.name in ("identity", "persistence")]
    assert all(point.yaws == (-3.0, 3.0) for point in lattice)
    panel = next(s for s in core if s.name == "policy_panel")
    assert len(panel.variants) == 8


def test_listing_loads_neither_torch_nor_a_world() -> None:
    code = (
        "import sys; from worldsim.envs.scenarios import load_set; load_set('quick');"
        "print(sorted({'torch', 'numba', 'worldsim.envs.blocks'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# --------------------------------------------------------------------------------------------------------- recipes

CHEST = ObjectState(
    id=3,
    kind="red_chest",
    position=np.array([1.0, 0.5, 2.0]),
    size=np.array([1.0, 1.0, 1.0]),
    attributes={"colour": "red"},
)
TRUTH = TruthState(time=0.0, objects=(CHEST,))
FOCUS = {"object_id": 3, "cell": [4, 0, 5], "moved_to": [1.0, 0.0, 4.0], "actions": {"left": {"left": [1, 1]}}}


def test_recipes_become_interventions() -> None:
    def change(recipe: dict[str, object]) -> object:
        return recipes.resolve_alternative(recipe, FOCUS, TRUTH).change

    assert change({}) is None
    assert change({"say": "as it was"}) is None
    assert change({"edit": "RemoveObject", "object_id": "$focus.object_id"}) == RemoveObject(object_id=3)
    assert change({"edit": "MoveObject", "object_id": 3, "position": "$focus.moved_to"}) == MoveObject(
        object_id=3, position=(1.0, 0.0, 4.0)
    )
    assert change({"edit": "MoveObject", "object_id": 3, "position": {"offset": "$object.base", "by": [1, 0, 0]}}) == (
        MoveObject(object_id=3, position=(2.0, 0.0, 2.0))
    )
    other = {"other_than": "$object.colour", "of": ["green", "red", "blue"]}
    assert change({"edit": "RecolourObject", "object_id": 3, "colour": other}) == RecolourObject(
        object_id=3, colour="blue"
    )
    pair = [
        {"edit": "SetCell", "position": "$focus.cell", "kind": "air"},
        {"edit": "SetCell", "position": {"offset": "$focus.cell", "by": [0, 0, 1]}, "kind": "stone"},
    ]
    sequence = recipes.resolve_alternative({"edits": pair, "say": "one further"}, FOCUS, TRUTH)
    assert sequence.description == "one further"
    assert isinstance(sequence.change, EditSequence)
    assert recipes.edits_of(sequence) == (
        SetCell(position=(4, 0, 5), kind="air"),
        SetCell(position=(4, 0, 6), kind="stone"),
    )
    assert change({"prompt": "night"}) == PromptChange(prompt="night")
    actions = change({"actions": "$focus.actions.left"})
    assert isinstance(actions, ActionChange)
    assert actions.actions["left"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"edti": "RemoveObject"}, "Did you mean 'edit'"),
        ({"edit": "SetCell", "prompt": "x"}, "one of edit"),
        ({"edits": []}, "list of edits"),
        ({"edit": "RemoveObject"}, "incomplete"),
        ({"edit": "RemoveObject", "object_id": "$focus.objekt_id"}, "Did you mean 'object_id'"),
        ({"edit": "RemoveObject", "object_id": "$fokus.object_id"}, r"must start with \$focus"),
        ({"edit": "RecolourObject", "object_id": 3, "colour": {"other_than": "red", "of": ["red"]}}, "no choice"),
    ],
)
def test_broken_recipes(recipe: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipes.resolve_alternative(recipe, FOCUS, TRUTH)


# ------------------------------------------------------------------------------------------------------- the page


def blocks_of(language: str) -> list[str]:
    page = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def test_the_set_on_the_page_can_be_asked_in_a_world(tmp_path: Path) -> None:
    from worldsim.config import EvalConfig
    from worldsim.evaluate import open_run, prepare, render, rollout

    (text,) = blocks_of("yaml")
    path = write(tmp_path, text)
    config = EvalConfig(
        model="worldsim/Frozen",
        scenarios=str(path),
        episodes=2,
        metrics=("fidelity.l1",),
        out=tmp_path / "r",
        quiet=True,
    )
    prepared = prepare(config)
    assert {scenario.name for scenario in prepared.scenarios} == {
        "look_away",
        "process",
        "place",
        "told",
        "there_and_back",
    }
    store = open_run(prepared, [])
    rollout(prepared, store)
    render(prepared, store)
    drawn: dict[str, set[str]] = {}
    for row in store.done():
        for branch in store.episode(row).branches:
            drawn.setdefault(branch.event, set()).add(branch.name.split("+")[0])
    assert drawn == {
        "identity": {"present", "absent", "altered"},
        "evolution": {"advanced", "stopped", "frozen", "frozen:hidden"},
        "persistence": {"edited", "not_edited"},
        "colour": {"red", "blue"},
        "place": {"hidden", "return"},
    }


def test_the_page_knows_every_key_and_set() -> None:
    from worldsim.envs.scenarios import loading

    page = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    known = {*loading._SCENARIO_KEYS, *loading._BRANCH_KEYS, *loading._VIEW_KEYS} - {"name", "summary"}
    assert not {key for key in known if f"`{key}`" not in page}
    assert all(f"| `{name}` |" in page for name in list_sets("blocks"))


def test_the_probe_on_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.envs.court import Court
    from tests.envs.test_controllers import marks_of, play
    from worldsim.envs.controllers import PROBES, Script

    (code,) = blocks_of("python")
    monkeypatch.setitem(PROBES, "peek", lambda scene: iter(()))  # so that it is taken out again
    exec(compile(code, "docs/scenarios.md", "exec"), {})
    script = Script("peek", context=4, horizon=12)
    play(script, Court(0), 15)
    assert script.finished
    assert set(marks_of(script)) == {"departure", "hidden", "return"}


def test_the_page_knows_every_probe() -> None:
    from worldsim.envs.controllers import PROBES

    page = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in PROBES)
