"""Storyboards: long prompts split into timed scenes, files that a person can edit, actions of every step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.envs.court import Court
from worldsim import trees
from worldsim.captions import Facts, Thing, parse
from worldsim.envs.actions import KEYS, continuous_space, discrete_space, find_map, minerl_space
from worldsim.envs.controllers import Explore
from worldsim.errors import ConfigError
from worldsim.seeding import hash_seed
from worldsim.storyboard import Scene, Storyboard, actions, dump, expanded, load, split, timeline

DOCS = Path(__file__).parents[1] / "docs" / "prompts.md"
WALK = Scene(prompt="a pig", steps=3, actions={"forward": 1})
TURN = Scene(prompt="a gem", seconds=0.2, actions={"camera": [0, 15]})


def board(*scenes: Scene, **more: Any) -> Storyboard:
    return Storyboard(name="mine", scenes=scenes, **more)


# -------------------------------------------------------------------------------------------------------------- files

HELD = st.dictionaries(st.sampled_from(KEYS), st.integers(0, 1), max_size=3)
CAMERA = st.tuples(st.floats(-90, 90), st.floats(-90, 90))
TEXT = st.text(max_size=40)
LENGTHS = st.one_of(
    st.floats(0.01, 1e6).map(lambda s: {"seconds": s}), st.integers(1, 10**6).map(lambda n: {"steps": n})
)
PLAYERS = st.one_of(
    st.just({}),
    st.tuples(HELD, CAMERA).map(lambda pair: {"actions": {**pair[0], "camera": pair[1]}}),
    st.fixed_dictionaries({"interact": st.floats(0, 1), "every": st.integers(1, 9)}).map(
        lambda more: {"controller": {"name": "explore", **more}}
    ),
)
SCENES = st.builds(
    lambda prompt, cut, length, player: Scene(prompt=prompt, cut=cut, **length, **player),
    TEXT, st.booleans(), LENGTHS, PLAYERS,
)  # fmt: skip
BOARDS = st.builds(
    Storyboard,
    name=TEXT.filter(str.strip),
    scenes=st.lists(SCENES, min_size=1, max_size=4).map(tuple),
    fps=st.floats(1, 60),
    size=st.one_of(st.none(), st.tuples(st.integers(1, 999), st.integers(1, 999))),
)


@settings(deadline=None)
@given(BOARDS)
@example(board(Scene(prompt="0\x85", steps=1), Scene(prompt="\u2028\n ", steps=1), Scene(prompt="null", steps=1)))
def test_files_come_back(tmp_path_factory: pytest.TempPathFactory, made: Storyboard) -> None:
    path = tmp_path_factory.getbasetemp() / "board.yaml"
    dump(made, path)
    first = path.read_bytes()
    found = load(path)
    assert found == made
    dump(found, path)
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.glob("board.yaml*")] == ["board.yaml"]


def test_a_file_as_it_is_written(tmp_path: Path) -> None:
    scenes = (
        WALK,
        Scene(prompt="it's: night", seconds=2, controller={"name": "explore", "interact": 0.1}, cut=True),
        TURN,
    )
    dump(board(*scenes, size=(64, 80)), tmp_path / "a.yaml")
    head, _, body = (tmp_path / "a.yaml").read_text().partition("\nname:")
    assert all(line.startswith("#") for line in head.splitlines())
    assert body.splitlines() == [
        " mine",
        "size: [64, 80]",
        "fps: 20.0",
        "scenes:",
        "- prompt: a pig",
        "  steps: 3",
        "  actions: {forward: 1}",
        "- prompt: 'it''s: night'",
        "  seconds: 2.0",
        "  controller: {name: explore, interact: 0.1}",
        "  cut: true",
        "- prompt: a gem",
        "  seconds: 0.2",
        "  actions: {camera: [0.0, 15.0]}",
    ]


def test_a_file_as_a_person_writes_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "name: b\nscenes:\n- {prompt: a pig, steps: 2, controller: noop}\n- prompt: ''\n  seconds: 1\n  actions:\n"
    )
    assert load(tmp_path / "a.yaml") == Storyboard(
        name="b", scenes=(Scene(prompt="a pig", steps=2, controller={"name": "noop"}), Scene(seconds=1.0))
    )


BROKEN = {
    "naem: x\nscenes: []": r"1: .*no key 'naem'.*'name'",
    "name: x": "1: .*needs scenes",
    "name: x\nscenes: []": "2: scenes: .*at least one",
    "name: x\nscenes: 3": "2: scenes must be a list",
    "name: x\nscenes:\n- a pig": "2: scene 1: a scene must be a mapping",
    "name: x\nfps: 0\nscenes: [{prompt: a, steps: 1}]": "2: fps: .*above 0",
    "name: x\nsize: 64\nscenes: [{prompt: a, steps: 1}]": "2: size: .*height",
    "name: x\nsize: [64]\nscenes: [{prompt: a, steps: 1}]": "2: size: .*height",
    "name: 7\nscenes: [{prompt: a, steps: 1}]": "1: name: must be text",
    "name: x\nscenes:\n- prompt: a\n  step: 3": "4: .*no key 'step'.*'steps'",
    "name: x\nscenes:\n- steps: 3": "3: .*needs prompt",
    "name: x\nscenes:\n- steps: 3\n  prompt: no": "4: prompt: must be text.*False",
    "name: x\nscenes:\n- prompt: a\n  steps: 1.5": "4: steps: .*whole",
    "name: x\nscenes:\n- prompt: a\n  steps: 0": "4: steps: .*whole",
    "name: x\nscenes:\n- prompt: a\n  seconds: .nan": "4: seconds: .*above 0",
    "name: x\nscenes:\n- prompt: a\n  seconds: soon": "4: seconds: .*above 0",
    "name: x\nscenes:\n- prompt: a\n  seconds: 1\n  steps: 2": "4: seconds: .*either",
    "name: x\nscenes:\n- prompt: a\n": "3: seconds: .*either",
    "name: x\nscenes:\n- prompt: a\n  steps: 1\n  cut: 1": "5: cut: ",
    "name: x\nscenes:\n- prompt: a\n  steps: 1\n  actions: forward": "5: actions: must be a mapping",
    "name: x\nscenes:\n- prompt: a\n  steps: 1\n  actions: {forwards: 1}": "5: actions: .*'forwards'.*'forward'",
    "name: x\nscenes:\n- prompt: a\n  steps: 1\n  actions: {forward: 2}": "5: actions: forward must be 0 or 1",
    "name: x\nscenes:\n- prompt: a\n  steps: 1\n  actions: {camera: 5}": "5: actions: camera must be",
    "name: x\nscenes:\n- prompt: a\n  steps: 1\n  controller: exlpore": "5: controller: .*'exlpore'.*'explore'",
    "name: x\nscenes:\n- prompt: a\n  steps: 1\n  actions: {jump: 1}\n  controller: noop": "6: controller: .*both",
    "name: x\nname: y": "1: the key 'name' comes twice",
    "name: [": "not YAML",
    "- 3": "a storyboard must be a mapping",
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_wrong_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as told:
        load(path)
    assert str(path) in str(told.value)
    assert re.search(BROKEN[text], str(told.value).removeprefix(f"{path}:"), re.DOTALL), str(told.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file .*nothing\.yaml"):
        load(tmp_path / "nothing.yaml")
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "a.yaml")


# ---------------------------------------------------------------------------------------------------------- splitting


LONG = (
    "At night in the village. A red chest ahead for 2.5 seconds, then two sheep on the left. Three seconds later it is "
    "dawn; after that a pig behind you and then, 0.5 seconds later, a red chest is opened! Next a gem"
)


def test_a_long_prompt_is_split() -> None:
    made = split(LONG, seed=3)
    assert [scene.seconds for scene in made.scenes] == [2.5, 3.0, 4.0, 0.5, 4.0, 4.0]
    facts = [parse(scene.prompt) for scene in made.scenes]
    assert [f.place for f in facts] == ["village"] * 6
    assert [f.time for f in facts] == ["night", "night", *["dawn"] * 4]
    assert [[(t.kind, t.count) for t in f.things] for f in facts] == [
        [("chest", 1)], [("sheep", 2)], [("sheep", 2)], [("pig", 1)], [], [("gem", 1)],
    ]  # fmt: skip
    assert facts[2].things == facts[1].things, "what is there goes on"
    assert [t for t, _ in timeline(made)] == [0, 50, 110, 190, 200, 280]
    assert made == split(LONG, seed=3)


@pytest.mark.parametrize(
    ("prompt", "kinds"),
    [
        ("a pig", ["pig"]),
        ("a pig; a gem\na chest. A door? A lamp", ["pig", "gem", "chest", "door", "lamp"]),
        ("a pig then a gem", ["pig", "gem"]),
        ("a pig, after 2 seconds a gem", ["pig", "gem"]),
        ("a pig AND THEN a gem. Then, next; a chest", ["pig", "gem", "chest"]),
        (
            "This is the arena at day. There is a dragon close by straight ahead. You see a gem far away to the left.",
            ["dragon", "gem"],
        ),
        ("in the snowy forest at day; a dragon close by behind you", ["dragon"]),
    ],
)
def test_where_scenes_end(prompt: str, kinds: list[str]) -> None:
    assert [[t.kind for t in parse(s.prompt).things] for s in split(prompt, seed=0).scenes] == [
        [kind] for kind in kinds
    ]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("5 seconds later a pig", "nothing comes before"),
        ("a pig for 2 seconds, 3 seconds later a gem", "2 and 3 seconds"),
        ("a pig. A spooky chest", "scene 2: .*'spooky'"),
        ("a pig next to a gem", "'next'"),
        ("a pig for 0 seconds", "seconds: .*above 0"),
    ],
)
def test_prompts_that_cannot_be_split(prompt: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        split(prompt, seed=0)


def test_an_empty_prompt_is_one_scene() -> None:
    (scene,) = split("", seed=0, fps=10.0).scenes
    assert parse(scene.prompt).things and scene.seconds == 4.0


def test_a_cut_starts_anew_and_an_expander_is_asked_for_each_scene() -> None:
    made = expanded(
        board(
            Scene(prompt="a pig in the village at dusk, near, ahead", steps=1),
            Scene(prompt="", steps=1),
            Scene(prompt="in the open", steps=1, cut=True),
        ),
        seed=0,
    )
    facts = [parse(scene.prompt) for scene in made.scenes]
    assert facts[0] == facts[1] == Facts(place="village", time="dusk", things=(Thing(kind="pig"),))
    assert facts[2].place == "open" and all(t.kind != "pig" for t in facts[2].things)
    assert made.cuts == (2,)
    asked: list[tuple[str, int]] = []

    def answer(prompt: str, seed: int) -> str:
        asked.append((prompt, seed))
        return "in the arena at day; a pig close by behind you"

    assert {s.prompt for s in split("wild; words", seed=5, with_=answer).scenes} == {answer("", 0)}
    assert asked[:2] == [("wild", hash_seed("scene", 5, 0)), ("words", hash_seed("scene", 5, 1))]


# ------------------------------------------------------------------------------------------------------------ playing


class World(Court):
    """The court as an environment; it ends after `end` steps."""

    end = 10**6

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.__init__(seed or 0)  # type: ignore[misc]
        self.left = self.end
        return np.zeros((64, 64, 3), np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:  # type: ignore[override]
        super().step(action)
        self.left -= 1
        return np.zeros((64, 64, 3), np.uint8), 0.0, self.left == 0, False, {}


@settings(deadline=None)
@given(BOARDS)
def test_lengths_add_up(made: Storyboard) -> None:
    ends = [*made.starts[1:], made.steps]
    assert [end - start for start, end in zip(made.starts, ends, strict=True)] == [
        s.length(made.fps) for s in made.scenes
    ]
    assert timeline(made) == tuple((t, s.prompt) for t, s in zip(made.starts, made.scenes, strict=True))
    assert all(s.length(made.fps) == max(1, round(s.seconds * made.fps)) for s in made.scenes if s.seconds is not None)


@pytest.mark.parametrize("space", [minerl_space(), discrete_space(), continuous_space()])
def test_keys_are_held(space: Any) -> None:
    made = board(WALK, TURN, Scene(steps=2))
    back = find_map(space, minerl_space())(actions(made, space))
    assert trees.length(back) == made.steps == 9
    assert back["forward"].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert np.allclose(back["camera"], [[0, 0]] * 3 + [[0, 15]] * 4 + [[0, 0]] * 2)
    assert all(not np.any(leaf) for key, leaf in back.items() if key not in ("forward", "camera"))
    assert all(space.contains(trees.index(actions(made, space), t)) for t in range(9))


def test_keys_that_the_space_lacks() -> None:
    with pytest.raises(ConfigError, match=r"scene 2: actions: .*no action for"):
        actions(board(WALK, Scene(steps=1, actions={"forward": 1, "camera": [0, 5]})), discrete_space())


def test_controllers_play_in_a_true_world() -> None:
    made = board(WALK, Scene(steps=12, controller={"name": "explore", "interact": 0.5}), WALK)
    env = World()
    found = actions(made, env.action_space, truth=env, seed=5)
    assert trees.length(found) == 18
    keyed = find_map(env.action_space, minerl_space())(found)
    assert keyed["forward"][:3].tolist() == keyed["forward"][-3:].tolist() == [1, 1, 1]
    other = World()  # by hand: the walk starts where the first scene ended
    frame, _ = other.reset(seed=5)
    for t in range(3):
        frame, *_ = other.step(trees.index(found, t))
    walk = Explore(interact=0.5)
    walk.reset(seed=hash_seed("storyboard", 5, 1), action_space=other.action_space, truth=other.truth())
    for t in range(12):
        action = walk.act(frame, other.truth(), t)
        assert trees.equal(trees.map_leaves(np.asarray, action), trees.index(found, 3 + t))
        frame, *_ = other.step(action)
    assert trees.equal(found, actions(made, env.action_space, truth=World(), seed=5))


@pytest.mark.parametrize(
    ("controller", "told"),
    [
        ({"name": "explore", "speed": 3}, "scene 2: the controller 'explore' with .*speed"),
        ({"name": "script", "probe": "look_away_return"}, "scene 2: the controller 'script' cannot go on"),
        ({"name": "script", "probe": "dance"}, "scene 2: .*'dance'"),
    ],
)
def test_controllers_that_cannot_play(controller: dict[str, Any], told: str) -> None:
    made = board(WALK, Scene(steps=2, controller=controller))
    env = World()
    with pytest.raises(ConfigError, match=told):
        actions(made, env.action_space, truth=env)


def test_a_world_that_ends_too_early() -> None:
    env = World()
    env.end = 4
    made = board(WALK, Scene(steps=1, controller={"name": "noop"}))
    assert trees.length(actions(made, env.action_space, truth=env)) == 4
    with pytest.raises(ConfigError, match="scene 3: the world ended after 4 steps"):
        actions(board(*made.scenes, TURN), env.action_space, truth=env)


def test_controllers_without_a_world() -> None:
    made = board(WALK, Scene(steps=2, controller={"name": "explore"}))
    with pytest.raises(ConfigError, match=r"scene 2 is played by the controller 'explore'.*give `truth`"):
        actions(made, minerl_space())
    env = World()
    with pytest.raises(ConfigError, match="actions of the truth"):
        actions(made, discrete_space(), truth=env)


@pytest.mark.skipif(not DOCS.is_file(), reason="not a checkout")
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = DOCS.read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "walk.yaml").write_text(example)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    for code in blocks:
        exec(compile(code, "docs/prompts.md", "exec"), {"__name__": "docs_prompts"})
    assert load("board.yaml").scenes
