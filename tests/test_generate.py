"""Clips end to end with a small random checkpoint: what they look like does not matter, what is done with them does."""

import itertools
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.small import frames as pictures
from tests.model.small import small_checkpoint
from worldsim import seeding, spaces, trees
from worldsim.captions import parse
from worldsim.cli.main import main
from worldsim.envs.actions import KEYS, discrete_space, minerl_space
from worldsim.errors import ConfigError, ShapeError, StoreError, UnknownNameError, UnsupportedError
from worldsim.generate import GenerateConfig, generate, make_model, write
from worldsim.generate.given import read_image, read_moving
from worldsim.generate.making import mean_uncertainty, searched
from worldsim.generate.scripts import candidates, filled, format_script, load_actions, moves, parse_script
from worldsim.generate.tasks import make_task
from worldsim.media import read_clip, write_clip
from worldsim.model.actions import count
from worldsim.model.clip_generator import Made, Shot
from worldsim.model.text.words import tokens
from worldsim.provenance import read_provenance
from worldsim.storyboard import Scene, Storyboard, dump

SPACE = minerl_space()
PLAIN = spaces.describe(SPACE)
SIZE = (32, 48)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    dit = {"action_space": PLAIN, "action_scale": (1.0,) * count(PLAIN), "window": 8, "text_length": 40}
    return small_checkpoint(folder, dit=dit, sizes=(SIZE,), env_args={"preset": "arena"})


@pytest.fixture(scope="module")
def config(checkpoint):
    return GenerateConfig(checkpoint=str(checkpoint), frames=5, gap=3, samples=1, search=4)


@pytest.fixture(scope="module")
def model(config):
    return make_model(config)


@pytest.fixture
def clips(tmp_path):
    """Two clips of 7 frames whose actions are in their records."""
    out = []
    for k in range(2):
        record = {"actions": "forward*3 turn_left*3", "actions_since": 0}
        out.append(write_clip(tmp_path / f"given-{k}.npz", pictures(k, 7, *SIZE), 20, record))
    return out


# ------------------------------------------------------------------------------------------------------------- scripts


def test_a_script_says_what_is_done():
    tree = parse_script("forward*2 turn_left camera:5,-2.5+sprint+forward noop", SPACE)
    assert tree["forward"].tolist() == [1, 1, 0, 1, 0]
    assert tree["sprint"].tolist() == [0, 0, 0, 1, 0]
    assert tree["camera"].tolist() == [[0, 0], [0, 0], [0, -15], [5, -2.5], [0, 0]]
    assert format_script(tree, SPACE) == "forward*2 camera:0,-15 forward+sprint+camera:5,-2.5 noop"
    assert parse_script("turn_left*2 use", discrete_space()).tolist() == [7, 7, 12]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from(KEYS), max_size=3), st.floats(-180, 180, width=32), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_scripts_come_back(steps):
    tree = {key: np.array([int(key in keys) for keys, _, _ in steps]) for key in KEYS}
    tree["camera"] = np.array([[yaw, yaw / 3] if turns else [0, 0] for _, yaw, turns in steps], np.float32)
    back = parse_script(format_script(tree, SPACE), SPACE)
    assert all(np.array_equal(back[key], tree[key]) for key in tree)


def test_spaces_without_names_have_numbers():
    import gymnasium as gym

    space = gym.spaces.Discrete(4)
    assert parse_script("2*3 0", space).tolist() == [2, 2, 2, 0]
    assert format_script(np.array([2, 2, 0]), space) == "2*2 0"
    assert moves(space, seed=0).tolist() == [0, 1, 2, 3]
    box = gym.spaces.Box(-1, 1, (2,), np.float32)
    assert format_script(np.zeros((3, 2), np.float32), box) is None
    assert np.array_equal(moves(box, seed=1), moves(box, seed=1))
    assert not np.array_equal(moves(box, seed=1), moves(box, seed=2))
    with pytest.raises(ConfigError, match=r"numbers 0\.\.3, got '7'"):
        parse_script("7", space)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("forwrad*3", "Did you mean 'forward'"),
        ("forward*", "for how many steps"),
        ("forward*0", "for how many steps"),
        ("*3", "for how many steps"),
        ("camera:5", "pitch and yaw"),
        ("camera:a,b", "pitch and yaw"),
        ("camera:0,nan", "pitch and yaw"),
        ("noop*99999999", "100,000 steps at most"),
        ("", "a word at least"),
    ],
)
def test_words_that_cannot_be_read(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_script(text, SPACE)


def test_what_a_space_cannot_express():
    with pytest.raises(ConfigError, match="sprint"):
        parse_script("sprint", discrete_space())


def test_actions_are_filled_up_but_never_cut():
    tree = filled(parse_script("forward*2", SPACE), 4, SPACE)
    assert tree["forward"].tolist() == [1, 1, 0, 0]
    assert trees.length(filled(None, 3, SPACE)) == 3
    with pytest.raises(ConfigError, match="5 steps, the clip has room for 4"):
        filled(parse_script("forward*5", SPACE), 4, SPACE)


def test_actions_from_a_file(tmp_path):
    tree = parse_script("forward*2 turn_left", SPACE)
    np.savez(tmp_path / "good.npz", **trees.flatten(tree))
    assert trees.equal(load_actions(tmp_path / "good.npz", SPACE), tree)
    np.savez(tmp_path / "bad.npz", forward=np.ones(3, np.int64))
    with pytest.raises(ConfigError, match=r"bad\.npz.*expected the keys"):
        load_actions(tmp_path / "bad.npz", SPACE)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:100])
    with pytest.raises(StoreError, match=r"torn\.npz cannot be read"):
        load_actions(tmp_path / "torn.npz", SPACE)
    with pytest.raises(StoreError, match="no file"):
        load_actions(tmp_path / "none.npz", SPACE)


def test_candidates():
    tried = candidates(SPACE, 6, 40, seed=1)
    assert tried["forward"].shape == (40, 6)
    rows = {json.dumps(trees.map_leaves(lambda x, r=r: x[r].tolist(), tried), sort_keys=True) for r in range(40)}
    assert len(rows) > 25, "hardly any is tried twice"
    assert not any(np.any(leaf[0]) for leaf in trees.leaves(tried)), "the first does nothing"
    assert trees.equal(tried, candidates(SPACE, 6, 40, seed=1))
    assert not trees.equal(tried, candidates(SPACE, 6, 40, seed=2))


# --------------------------------------------------------------------------------------------------------------- modes


def test_text(config, model):
    wanted = replace(config, mode="text", prompt="red chest", samples=2, actions="forward*2")
    clips = generate(wanted, model)
    assert [clip.frames.shape for clip in clips] == [(5, *SIZE, 3)] * 2
    assert all(clip.drawn.all() for clip in clips)
    assert not np.array_equal(clips[0].frames, clips[1].frames), "each sample has its own seed"
    assert all("a red chest" in clip.record["prompt"] for clip in clips)
    assert clips[0].record["actions"] == "forward*2 noop*2"
    assert np.isfinite(clips[0].uncertainty["flow"]).all() and np.isfinite(clips[0].uncertainty["codec"]).all()
    again = generate(wanted, model)
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(clips, again, strict=True))
    other = generate(replace(wanted, seed=1), model)
    assert not np.array_equal(clips[0].frames, other[0].frames)
    as_said = generate(replace(wanted, prompt="in the arena; a red chest close by to the left", expand="none"), model)
    assert as_said[0].record["prompt"] == "in the arena; a red chest close by to the left"


def test_prompts_are_filled_up_with_words_that_the_checkpoint_was_trained_on(config, checkpoint, tmp_path):
    """Where it does not say which these are, with no time: the captions of collected play have none."""
    captions = ["in the arena at dusk; a red chest close by to the left", "a blue gem far away behind you"]
    card = {"words": sorted({word for text in captions for word in tokens(text)})}
    dit = {"action_space": PLAIN, "action_scale": (1.0,) * count(PLAIN), "window": 8, "text_length": 40}
    heard = small_checkpoint(tmp_path, dit=dit, sizes=(SIZE,), env_args={"preset": "arena"}, card=card)
    for folder in (checkpoint, heard):
        own = make_model(replace(config, checkpoint=str(folder)))
        for seed, mode in itertools.product(range(5), ("text", "storyboard")):
            told = "a chest. Then some gems" if mode == "storyboard" else "a chest, some gems"
            task = make_task(replace(config, mode=mode, prompt=told, seed=seed, frames=2), own, 0)
            said = [text for texts in task.shot.prompts.values() for text in texts]
            assert said and {parse(text).time for text in said} == ({"dusk"} if folder == heard else {""})
            drawn = {word for text in said for word in tokens(text)} - {"gems", "two", "three", "four"}
            assert folder == checkpoint or drawn <= set(card["words"])


def test_a_command_may_write_the_caption(config, model):
    program = f"{sys.executable} -c 'input(); print(\"in the arena; a white sheep close by to the left\")'"
    (clip,) = generate(replace(config, prompt="something fluffy", expand=program), model)
    assert clip.record["prompt"] == "in the arena; a white sheep close by to the left"
    assert clip.record["prompt_given"] == "something fluffy"


def test_guidance_pulls_to_the_prompt(config, model):
    """Guidance 1 is the plain model; without a prompt there is nothing to be guided by."""
    guided, plain = model, make_model(replace(config, guidance=1.0))
    said, silent = replace(config, prompt="red chest"), replace(config, prompt="", expand="none")
    assert not np.array_equal(generate(said, guided)[0].frames, generate(said, plain)[0].frames)
    assert np.array_equal(generate(silent, guided)[0].frames, generate(silent, plain)[0].frames)


def test_clauses_that_do_not_fit_are_counted(config, model):
    many = "; ".join(["in the arena", *["a red chest close by to the left"] * 6])
    (clip,) = generate(replace(config, prompt=many, expand="none"), model)
    assert clip.record["clauses_dropped"] == 2, "4 + 9 x 4 tokens are 40"
    assert generate(config, model)[0].record["clauses_dropped"] == 0


@pytest.mark.parametrize("size", [(16, 16), (48, 16), (16, 64)])
def test_any_size(config, model, size):
    assert generate(replace(config, size=size), model)[0].frames.shape == (5, *size, 3)


def test_image(config, model, tmp_path):
    path = write_clip(tmp_path / "a.png", pictures(0, 1, *SIZE), 20, {})
    (clip,) = generate(replace(config, mode="image", image=path), model)
    assert np.array_equal(clip.frames[0], pictures(0, 1, *SIZE)[0]) and len(clip.frames) == 6
    assert clip.record["drawn"] == [[1, 6]]
    assert clip.record["given"][0]["name"] == "a.png"
    assert clip.record["prompt"] == "", "nobody said anything"


def test_extend_and_backward(config, model, clips):
    known = pictures(0, 7, *SIZE)
    (clip,) = generate(replace(config, mode="extend", clip=clips[0], actions="back*5"), model)
    assert np.array_equal(clip.frames[:7], known) and clip.record["drawn"] == [[7, 12]]
    assert clip.record["actions"] == "forward*3 camera:0,-15*3 back*5"
    (clip,) = generate(replace(config, mode="backward", clip=clips[0], actions="back*5"), model)
    assert np.array_equal(clip.frames[5:], known) and clip.record["drawn"] == [[0, 5]]
    assert clip.record["actions"] == "back*5 forward*3 camera:0,-15*3"
    assert np.isnan(clip.uncertainty["flow"][5:]).all() and np.isfinite(clip.uncertainty["flow"][:5]).all()


def test_a_long_clip_is_kept_whole(config, model, tmp_path):
    long = pictures(3, 20, *SIZE)
    path = write_clip(tmp_path / "long.npz", long, 20, {"actions": "forward*19", "actions_since": 0})
    (clip,) = generate(replace(config, mode="extend", clip=path), model)
    assert np.array_equal(clip.frames[:20], long) and len(clip.frames) == 25
    assert (clip.record["actions_since"], clip.record["actions"]) == (12, "forward*7 noop*5")
    again = write_clip(tmp_path / "longer.npz", clip.frames, 20, clip.record)
    task = make_task(replace(config, mode="extend", clip=again), model, 0)
    assert task.shot.actions["forward"][0].tolist() == [1] * 2 + [0] * 10, "the record's actions are found again"


def test_join(config, model, clips):
    wanted = replace(config, mode="join", clip=clips[0], clip2=clips[1])
    (clip,) = generate(wanted, model)
    assert np.array_equal(clip.frames[:7], pictures(0, 7, *SIZE))
    assert np.array_equal(clip.frames[10:], pictures(1, 7, *SIZE)) and len(clip.frames) == 17
    assert clip.record["drawn"] == [[7, 10]]
    assert clip.record["miss"] <= clip.record["miss_idle"] and clip.record["searched"] == 4
    (told,) = generate(replace(wanted, actions="back*4"), model)
    assert "searched" not in told.record and "back*4" in told.record["actions"]


def test_the_search_takes_the_best(config, model, clips):
    wanted = replace(config, mode="join", clip=clips[0], clip2=clips[1], search=12)
    task = make_task(wanted, model, 0)
    found = searched(wanted, model, task, 0)
    assert found.facts["miss"] < found.facts["miss_idle"], "twelve ways, and none is better than standing still?"
    again = searched(wanted, model, task, 0)
    assert trees.equal(found.shot.actions, again.shot.actions)
    # One clip at a time, with the same noise, misses by what the search said.
    alone = model.misses(found.shot, [seeding.hash_seed("generate", 0, 0, 0)])
    assert alone[0] == pytest.approx(found.facts["miss"], abs=1e-4)


def test_loop(config, model, clips, tmp_path):
    (clip,) = generate(replace(config, mode="loop", clip=clips[0]), model)
    assert np.array_equal(clip.frames[:7], pictures(0, 7, *SIZE)) and len(clip.frames) == 10
    assert clip.record["drawn"] == [[7, 10]]
    assert trees.length(parse_script(clip.record["actions"], SPACE)) == 10 - clip.record["actions_since"], "and back"
    (clip,) = generate(replace(config, mode="loop", frames=9), model)
    assert clip.record["drawn"] == [[0, 9]] and len(clip.frames) == 9
    assert np.isfinite(clip.uncertainty["codec"]).all()
    image = write_clip(tmp_path / "a.png", pictures(0, 1, *SIZE), 20, {})
    (clip,) = generate(replace(config, mode="loop", image=image, frames=9), model)
    assert clip.record["drawn"] == [[1, 10]] and len(clip.frames) == 10
    with pytest.raises(ConfigError, match="no room for a gap"):
        generate(replace(config, mode="loop", frames=3), model)


def test_storyboard(config, model, tmp_path):
    scenes = (
        Scene(prompt="a red chest", steps=3, actions={"forward": 1}),
        Scene(prompt="a blue chest", steps=2, actions={"camera": [0, 5]}),
        Scene(prompt="a green gem", steps=4, cut=True),
    )
    dump(Storyboard(name="three", scenes=scenes, size=SIZE), tmp_path / "three.yaml")
    wanted = replace(config, mode="storyboard", storyboard=tmp_path / "three.yaml")
    shot = make_task(wanted, model, 0).shot
    assert list(shot.prompts) == [0, 3, 5] and list(shot.cuts) == [5]
    assert "blue chest" in shot.prompts[3][0]
    assert shot.actions["forward"][0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0], "no action leads to the first frame"
    (clip,) = generate(wanted, model)
    assert len(clip.frames) == 9 and [start for start, _ in clip.record["scenes"]] == [0, 3, 5]
    other = (scenes[0], replace(scenes[1], prompt="a white sheep"), scenes[2])
    dump(Storyboard(name="three", scenes=other, size=SIZE), tmp_path / "other.yaml")
    (changed,) = generate(replace(wanted, storyboard=tmp_path / "other.yaml"), model)
    same = (clip.frames == changed.frames).all(axis=(1, 2, 3))
    assert same[:3].all() and not same[3]
    image = write_clip(tmp_path / "a.png", pictures(0, 1, *SIZE), 20, {})
    shot = make_task(replace(wanted, image=image), model, 0).shot
    assert list(shot.prompts) == [0, 1, 4, 6] and list(shot.cuts) == [6] and shot.frames == 10
    split = replace(wanted, storyboard=None, prompt="A red chest ahead for 0.1 seconds. Then a pig for 0.2 seconds")
    assert len(generate(split, model)[0].frames) == 6
    with pytest.raises(ConfigError, match="leave out --actions"):
        generate(replace(wanted, actions="forward"), model)
    dump(Storyboard(name="slow", scenes=scenes, fps=10), tmp_path / "slow.yaml")
    with pytest.raises(ConfigError, match="write fps: 20"):
        generate(replace(wanted, storyboard=tmp_path / "slow.yaml"), model)


def test_best_of_keeps_the_surest(config, model):
    (clip,) = generate(replace(config, best_of=4), model)
    (first,) = generate(config, model)
    assert clip.record["uncertainty"] <= first.record["uncertainty"] and clip.record["best_of"] == 4
    mean = np.nanmean(clip.uncertainty["flow"])
    assert clip.record["uncertainty"] == pytest.approx(mean, abs=1e-5)
    nan = np.full((2, 3), np.nan, np.float32)
    made = Made(
        frames=np.zeros((2, 3, 16, 16, 3), np.uint8),
        drawn=np.array([False, True, True]),
        flow=nan,
        codec=np.array([[np.nan, 1, 3], [np.nan, 2, 4]], np.float32),
    )
    assert mean_uncertainty(made).tolist() == [2, 3], "in one step nothing changes: the codec is asked"


def test_unknown_actions_are_guessed(config, model, tmp_path):
    path = write_clip(tmp_path / "wild.npz", pictures(5, 4, *SIZE), 20, {})
    wanted = replace(config, mode="extend", clip=path)
    guess = parse_script(generate(wanted, model)[0].record["actions"], SPACE)
    assert trees.length(guess) == 3 + 5
    assert not any(np.any(leaf[3:]) for leaf in trees.leaves(guess)), "only what lies between known frames"


def test_the_guess_is_the_action_that_was_played(model):
    """With the model's own frames, and its own noise, the action that made them is the one that fits best."""
    single = moves(SPACE, seed=0)
    known = pictures(0, 1, *SIZE)

    def landings(move, seed):
        shot = Shot(size=SIZE, actions=trees.map_leaves(lambda x: x[move][None, None], single), before=known)
        return model._take(shot, [seed]).latents[:, 1]

    encode, seed = model._encode, seeding.hash_seed("guess", 7, 1)
    for move in (1, 3, 6):
        target = landings(move, seed)
        model._encode = lambda frames, t=target: encode(frames) if len(frames) == 1 else t[None].repeat(1, 2, 1, 1)
        try:
            found = model.guess_actions(np.concatenate([known, known]), single, seed=7)
        finally:
            del model._encode
        assert trees.equal(found, trees.index(single, np.array([move])))


# ------------------------------------------------------------------------------------------------------------ bad input


def test_what_does_not_fit_is_said(config, model, clips, tmp_path, checkpoint):
    with pytest.raises(UnknownNameError, match="Did you mean 'extend'"):
        replace(config, mode="extnd")
    with pytest.raises(ConfigError, match="needs --clip2"):
        replace(config, mode="join", clip=clips[0])
    with pytest.raises(ConfigError, match="uses no --clip"):
        replace(config, mode="text", clip=clips[0])
    with pytest.raises(ConfigError, match="frames must be in"):
        replace(config, frames=0)
    with pytest.raises(ConfigError, match="either --storyboard FILE or a --prompt"):
        replace(config, mode="storyboard")
    with pytest.raises(ConfigError, match=r"chezt.*Did you mean 'chest'"):
        generate(replace(config, prompt="red chezt"), model)
    with pytest.raises(ConfigError, match="does not know the word 'unicorn'"):
        generate(replace(config, prompt="in the arena; a unicorn close by to the left", expand="none"), model)
    with pytest.raises(StoreError, match="no file"):
        generate(replace(config, mode="extend", clip=tmp_path / "none.mp4"), model)
    with pytest.raises(UnknownNameError, match="does not end in a format"):
        generate(replace(config, mode="extend", clip=tmp_path / "clip.avi"), model)
    with pytest.raises(ShapeError, match="asked for are 64x64"):
        generate(replace(config, mode="extend", clip=clips[0], size=(64, 64)), model)
    with pytest.raises(ShapeError, match="multiples of 16, got 20x32"):
        generate(replace(config, size=(20, 32)), model)
    other = write_clip(tmp_path / "other.npz", pictures(0, 4, 16, 16), 20, {})
    with pytest.raises(ShapeError, match="32x48 and 16x16"):
        generate(replace(config, mode="join", clip=clips[0], clip2=other), model)
    odd = write_clip(tmp_path / "odd.npz", pictures(0, 4, 24, 16), 20, {})
    with pytest.raises(ShapeError, match="sides in multiples of 16"):
        read_moving(odd, SPACE, None, 16)
    with pytest.raises(ConfigError, match="1, 2, 4 or 8 steps"):
        make_model(replace(config, steps=3))
    with pytest.raises(StoreError, match="no checkpoint"):
        make_model(replace(config, checkpoint="tinny"))


def test_too_little_memory_is_said(config, model, monkeypatch):
    def full(*args):
        raise MemoryError("no room")

    monkeypatch.setattr(model, "_finish", full)
    with pytest.raises(ConfigError, match=r"out of memory on cpu with 1 clips of 5 frames.*no room"):
        generate(config, model)


def test_pictures_are_cut_and_scaled(tmp_path):
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = 200
    cv2.imwrite(str(tmp_path / "a.jpg"), picture)
    found = read_image(tmp_path / "a.jpg", (32, 32), 16)
    assert found.frames.shape == (1, 32, 32, 3)
    assert found.frames.min() > 150, "the middle"
    with pytest.raises(ShapeError, match="give --size, for example --size 32x96"):
        read_image(tmp_path / "a.jpg", None, 16)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(StoreError, match="cannot be decoded"):
        read_image(tmp_path / "b.png", None, 16)
    with pytest.raises(StoreError, match="--clip"):
        read_image(write_clip(tmp_path / "c.gif", picture[None], 20, {}), None, 16)


def test_without_text_a_first_frame_is_needed(tmp_path):
    dit = {"action_space": PLAIN, "action_scale": (1.0,) * count(PLAIN), "text_length": 0, "vocabulary": ()}
    mute = GenerateConfig(checkpoint=str(small_checkpoint(tmp_path / "m", dit=dit)), frames=2, samples=1)
    with pytest.raises(UnsupportedError, match="needs a first frame"):
        generate(replace(mute, size=SIZE))
    image = write_clip(tmp_path / "a.png", pictures(0, 1, *SIZE), 20, {})
    assert len(generate(replace(mute, mode="image", image=image))[0].frames) == 3
    with pytest.raises(UnsupportedError, match="reads no prompt"):
        generate(replace(mute, mode="image", image=image, prompt="red chest"))


def test_latents_of_several_frames_are_refused(tmp_path):
    folder = small_checkpoint(tmp_path / "two", codec={"temporal": 2})
    with pytest.raises(UnsupportedError, match="2 frames in one latent"):
        make_model(GenerateConfig(checkpoint=str(folder)))


# ------------------------------------------------------------------------------------------------------------ in files


def test_files_hold_the_record(config, model, tmp_path):
    made = generate(replace(config, prompt="red chest", samples=2), model)
    files = write(made, tmp_path, ("mp4", "npz", "gif"), scale=2)
    assert [path.name for path in files[1]] == ["text-1.mp4", "text-1.npz", "text-1.gif", "text-1.json"]
    for path in files[0][:3]:
        record = read_provenance(path)
        assert record == json.loads(json.dumps(made[0].record))
        assert record["statement"] == "generated by a world model"
        assert record["prompt_given"] == "red chest" and "a red chest" in record["prompt"]
        assert record["model_hash"] == model.digest and record["mode"] == "text" and record["steps"] == 2
    assert np.array_equal(read_clip(files[0][1]).frames, made[0].frames), "exact formats are not scaled"
    assert read_clip(files[0][0]).frames.shape[1:3] == (64, 96)
    beside = json.loads(files[0][3].read_text())
    assert len(beside["uncertainty"]["flow"]) == 5 and beside["drawn"] == [1] * 5


def test_command_line(checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    common = ["generate", "--checkpoint", str(checkpoint), "--frames", "4", "--samples", "2"]
    assert main([*common, "--prompt", "red chest", "--actions", "forward*2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out.split()
    assert [line.rpartition("/")[2] for line in printed] == [
        *("text-0.mp4", "text-0.json", "text-1.mp4", "text-1.json", "index.html"),
    ]
    assert_links(out)
    assert main([*common, "--format", "avi", "--out", str(out)]) == 2
    assert "does not end in a format" in capsys.readouterr().err
    assert main([*common, "--mode", "extend", "--clip", str(tmp_path / "x.mp4"), "--out", str(out)]) == 1
    assert "no file" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main([*common, "--out", str(tmp_path / "file")]) == 1
    assert main([*common, "--scale", "0", "--out", str(out)]) == 2
    assert main([*common, "--device", "nowhere", "--out", str(out)]) == 2
    assert "device 'nowhere' cannot be used" in capsys.readouterr().err
    only = tmp_path / "only"
    assert main([*common, "--format", "npz", "--out", str(only)]) == 0
    assert not (only / "index.html").exists()
    assert main([*common, "--gallery", "--format", "npz", "--out", str(only)]) == 2


def test_gallery(checkpoint, tmp_path, capsys):
    args = ["generate", "--gallery", "--checkpoint", str(checkpoint), "--frames", "6", "--gap", "3", "--search", "3"]
    assert main([*args, "--size", "32x32", "--out", str(tmp_path)]) == 0
    page = assert_links(tmp_path)
    for mode in ("text to video", "image to video", "extend forward", "extend backward", "loop", "join", "storyboard"):
        assert mode in page
    assert read_provenance(tmp_path / "join-0-truth.mp4") is None, "the truth was not made by a model"
    start = read_clip(tmp_path / "starts" / "left.npz").provenance
    assert "test world" in start["source"]


def assert_links(folder):
    page = (folder / "index.html").read_text()
    links = re.findall(r'(?:src|href|poster)="([^"#:]+)"', page)
    assert links
    for link in links:
        assert (folder / link).is_file(), link
    return page


def test_the_page_runs(checkpoint, tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs/generate.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace('checkpoint="tiny"', f'checkpoint="{checkpoint}"'), "docs/generate.md", "exec"), {})
    assert (tmp_path / "clips" / "text-1.npz").is_file()
