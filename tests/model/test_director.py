"""The director: on, back, between. The reference is one pass over the whole clip with the masks of training."""

import numpy as np
import pytest
import torch

from tests.model.small import small_dit
from worldsim.errors import ShapeError
from worldsim.model.dit.network import Condition, Output
from worldsim.model.engine.director import AHEAD, Take, go_back, go_between, go_on, landing, meet
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.engine.worlds import Worlds
from worldsim.model.training.masks import MaskConfig, draw_masks

CELLS = (4, 6)
ACTIONS = 5


def latents(seed, *lead):
    return torch.randn(*lead, 6, 16, generator=torch.Generator().manual_seed(seed))


def moves(seed, *lead):
    return torch.randn(*lead, ACTIONS, generator=torch.Generator().manual_seed(seed))


def worlds_of(dit, batch=2, steps=2, network=None):
    return Worlds(dit, SamplerConfig(steps=steps), batch, CELLS, network=network)


class Stub:
    """A network that notes what it is asked. Its frames are numbered: all values of the n-th one drawn are n."""

    def __init__(self):
        self.asked, self.drawn = [], 0

    def __call__(self, noisy, previous, condition, grid, history):
        pinned = history.cache.pinned
        self.asked.append(
            {
                "drawing": float(condition.signal[0, 0]) == 0,
                "previous": float(previous[0, 0, 0, 0]),
                "actions": condition.actions[0, 0].clone(),
                "has_action": bool(condition.has_action[0, 0]),
                "backward": bool(condition.backward[0]),
                "text": condition.text[0, 0].clone(),
                "pinned": [] if pinned is None else pinned.times[0].tolist(),
            }
        )
        b, f, n, p = noisy.shape
        if self.asked[-1]["drawing"]:
            self.drawn += 1
        for layer in history.cache.config.time_layers:
            heads, head = history.cache.config.kv_heads, history.cache.config.head
            nothing = torch.zeros(b, f, history.cache.keys[0].shape[2], heads, head)
            history.captured[layer] = nothing, nothing
        zeros = torch.zeros(b, f)
        return Output(clean=torch.full((b, f, n, p), float(self.drawn)), reward=zeros, end=zeros)

    @property
    def draws(self):
        return [asked for asked in self.asked if asked["drawing"]]


@pytest.fixture(scope="module")
def dit():
    return small_dit()


@pytest.mark.parametrize("known", [0, 1, 6])
def test_on_is_a_rollout(dit, known):
    before, actions = latents(0, 2, known), moves(1, 2, 9)
    take = go_on(worlds_of(dit), before, actions, [3, 4])
    worlds = worlds_of(dit)
    worlds.start(range(2), before, actions[:, : max(known - 1, 0)], [3, 4])
    led = torch.cat([actions.new_zeros(2, 1, ACTIONS), actions], dim=1)
    with torch.no_grad():
        steps = [worlds.step(led[:, f]) for f in range(known, 10)]
    assert take.latents.shape == (2, 10, 6, 16)
    assert torch.equal(take.latents[:, :known], before)
    torch.testing.assert_close(take.latents[:, known:], torch.stack([step.clean for step in steps], dim=1))
    torch.testing.assert_close(take.instability[:, known:], torch.stack([step.instability for step in steps], dim=1))
    assert take.drawn.tolist() == [False] * known + [True] * (10 - known)
    again = go_on(worlds_of(dit), before, actions, [3, 4])
    assert torch.equal(take.latents, again.latents)


def test_back_is_time_reversed(dit):
    stub, actions = Stub(), moves(1, 1, 6)
    take = go_back(worlds_of(dit, 1, 1, stub), latents(0, 1, 3), actions, [0])
    assert take.drawn.tolist() == [True] * 4 + [False] * 3
    assert take.latents[0, :4, 0, 0].tolist() == [4, 3, 2, 1], "the frame next to what is known is drawn first"
    assert torch.equal(take.latents[:, 4:], latents(0, 1, 3)), "known frames stay in the order of watching"
    assert all(asked["backward"] for asked in stub.asked)
    for draw, action in zip(stub.draws, (3, 2, 1, 0), strict=True):
        assert torch.equal(draw["actions"], actions[0, action]), "frame i is undone by the action from i to i + 1"
    assert stub.draws[0]["previous"] == float(latents(0, 1, 3)[0, 0, 0, 0])
    forward = Stub()
    go_on(worlds_of(dit, 1, 1, forward), latents(0, 1, 3), actions, [0])
    assert not any(asked["backward"] for asked in forward.asked)


def test_the_context_of_a_backward_clip_is_reversed_too(dit):
    """The small network looks back: another order of the same known frames gives other frames."""
    after, actions = latents(0, 2, 3), moves(1, 2, 6)
    take = go_back(worlds_of(dit), after, actions, [3, 4])
    worlds = worlds_of(dit)
    worlds.start(range(2), after.flip(1), actions.flip(1)[:, :2], [3, 4], backward=True)
    with torch.no_grad():
        first = worlds.step(actions.flip(1)[:, 2]).clean
    torch.testing.assert_close(take.latents[:, 3], first)


def test_between_is_what_training_asked():
    """Each gap frame equals one pass over the whole clip with the masks of the mode "ahead"."""
    dit = small_dit(window=8)
    before, after, actions = latents(0, 1, 3), latents(2, 1, 3), moves(1, 1, 7)
    take = go_between(worlds_of(dit, 1, 1), before, after, actions, [5])
    assert take.drawn.tolist() == [False] * 3 + [True] * 2 + [False] * 3
    masks = next(
        masks
        for seed in range(100)
        for masks in [draw_masks(np.random.default_rng(seed), 1, 8, 8, MaskConfig(ahead=1.0), shortcut=False)]
        if masks.known.sum() == 3
    )
    worlds = worlds_of(dit, 1, 1)
    worlds.start([0], before, actions[:, :2], [5])
    has = torch.from_numpy(masks.has_previous)
    for f in (3, 4):
        clip = take.latents.clone()
        shifted = torch.cat([torch.zeros_like(clip[:, :1]), clip[:, :-1]], dim=1) * has[..., None, None]
        worlds.frame = [f]
        clip[:, f] = worlds.noise()
        signal, level = torch.full((1, 8), 0.9), torch.full((1, 8), 3)
        signal[:, f], level[:, f] = 0.0, 0
        led = torch.cat([torch.zeros(1, 1, ACTIONS), actions], dim=1)
        told = Condition(
            signal=signal,
            level=level,
            previous_noise=torch.full((1, 8), 0.1),
            has_previous=has,
            actions=led,
            has_action=has,
            text=torch.zeros(1, 8, dit.config.registers, dit.config.width),
            backward=torch.zeros(1, dtype=torch.bool),
        )
        look = dit.look(torch.arange(8.0)[None], torch.from_numpy(masks.visible), worlds.grid, torch.float32)
        with torch.no_grad():
            wanted = dit(clip, shifted, told, worlds.grid, look).clean[:, f]
        torch.testing.assert_close(take.latents[:, f], wanted, rtol=1e-4, atol=1e-4)


def test_every_gap_frame_sees_the_end_and_only_its_first_frames(dit):
    dit = small_dit(window=8)
    before, actions = latents(0, 2, 2), moves(1, 2, 10)
    after = latents(2, 2, 6)
    one = go_between(worlds_of(dit), before, after, actions, [3, 4])
    other = after.clone()
    other[:, AHEAD - 1] += 1.0
    two = go_between(worlds_of(dit), before, other, actions, [3, 4])
    assert (one.latents[:, 2:5] - two.latents[:, 2:5]).abs().amax(dim=(0, 2, 3)).gt(1e-4).all()
    other = after.clone()
    other[:, AHEAD:] += 1.0
    three = go_between(worlds_of(dit), before, other, actions, [3, 4])
    assert torch.equal(one.latents[:, :5], three.latents[:, :5])


def test_pinned_frames_come_into_sight_and_never_leave():
    dit = small_dit(window=4)
    stub, actions = Stub(), moves(1, 1, 2 + 12 + 3 - 1)
    worlds = worlds_of(dit, 1, 1, stub)
    go_between(worlds, latents(0, 1, 2), latents(2, 1, 3), actions, [0])
    seen = [draw["pinned"] for draw in stub.draws]
    # The last known frame is 16; from 13 on it is less than a window of 4 ahead.
    assert seen == [[]] * 11 + [[14.0, 15.0, 16.0]]
    stub = Stub()
    go_between(worlds_of(dit, 1, 1, stub), latents(0, 1, 1), latents(2, 1, 1), moves(1, 1, 5), [0])
    assert [asked["pinned"] for asked in stub.asked] == [[]] * 2 + [[5.0]] * 6, "drawn and committed, until the end"
    assert worlds.cache.pinned is None, "the next clip does not see them"


def test_two_sides_meet():
    dit = small_dit(window=8)
    before, after, actions = latents(0, 2, 3), latents(2, 2, 5), moves(1, 2, 10)
    take, apart = meet(worlds_of(dit), before, after, actions, [3, 4])
    on = go_between(worlds_of(dit), before, after, actions, [3, 4])
    back = go_back(worlds_of(dit), after, actions[:, 3:], [3, 4])
    ahead, behind = on.latents[:, 3:6], back.latents[:, :3]
    torch.testing.assert_close(take.latents[:, 3], 0.75 * ahead[:, 0] + 0.25 * behind[:, 0])
    torch.testing.assert_close(take.latents[:, 5], 0.25 * ahead[:, 2] + 0.75 * behind[:, 2])
    assert torch.equal(take.latents[:, :3], before) and torch.equal(take.latents[:, 6:], after)
    torch.testing.assert_close(apart, (ahead - behind).square().mean(dim=(1, 2, 3)).sqrt())
    torch.testing.assert_close(take.instability[:, 4], (on.instability[:, 4] + back.instability[:, 1]) / 2)
    assert take.drawn.tolist() == [False] * 3 + [True] * 3 + [False] * 5
    nothing, none = meet(worlds_of(dit), before, after, moves(1, 2, 7), [3, 4])
    assert not nothing.drawn.any() and none.tolist() == [0, 0]


def test_landing():
    clip = torch.zeros(2, 4, 6, 16)
    clip[1, 2] = 3.0
    take = Take(latents=clip, instability=torch.zeros(2, 4), drawn=torch.tensor([False, True, True, False]))
    assert landing(take, torch.zeros(1, 6, 16)).tolist() == [0.0, 3.0]
    with pytest.raises(ShapeError, match="nothing was drawn"):
        landing(Take(latents=clip, instability=torch.zeros(2, 4), drawn=torch.zeros(4, dtype=torch.bool)), clip[:, 0])


def test_prompts_change_at_their_frames(dit):
    words = [torch.full((2, 24), k, dtype=torch.int64) for k in (2, 3, 4)]
    plain = go_on(worlds_of(dit), latents(0, 2, 2), moves(1, 2, 7), [1, 2], prompts={0: words[0]})
    changed = go_on(worlds_of(dit), latents(0, 2, 2), moves(1, 2, 7), [1, 2], prompts={0: words[0], 5: words[1]})
    assert torch.equal(plain.latents[:, :5], changed.latents[:, :5])
    assert not torch.allclose(plain.latents[:, 5], changed.latents[:, 5])
    stub = Stub()
    prompts = {0: words[0][:1], 1: words[1][:1], 4: None, 6: words[2][:1]}
    go_on(worlds_of(dit, 1, 1, stub), latents(0, 1, 2), moves(1, 1, 7), [1], prompts=prompts)
    with torch.no_grad():
        expected = [dit.read(words[1][:1])[0]] * 2 + [torch.zeros_like(dit.read(words[1][:1])[0])] * 2
        expected += [dit.read(words[2][:1])[0]] * 2
    for draw, text in zip(stub.draws, expected, strict=True):
        torch.testing.assert_close(draw["text"], text)


def test_a_cut_begins_anew(dit):
    one = go_on(worlds_of(dit), latents(0, 2, 3), moves(1, 2, 8), [1, 2], cuts=[5])
    other_actions = moves(1, 2, 8)
    other_actions[:, :5] += 1.0  # up to the one that would lead to the cut
    two = go_on(worlds_of(dit), latents(9, 2, 3), other_actions, [1, 2], cuts=[5])
    assert not torch.allclose(one.latents[:, 4], two.latents[:, 4])
    assert torch.equal(one.latents[:, 5:], two.latents[:, 5:])
    fresh = go_on(worlds_of(dit), latents(0, 2, 0), moves(1, 2, 8)[:, 5:], [1, 2])
    assert not torch.allclose(one.latents[:, 5], fresh.latents[:, 0]), "a cut has noise of its own"


def test_what_cannot_be(dit):
    with pytest.raises(ShapeError, match="one frame of each"):
        go_between(worlds_of(dit), latents(0, 2, 0), latents(0, 2, 2), moves(0, 2, 5), [1, 2])
    with pytest.raises(ShapeError, match="2 worlds need"):
        go_on(worlds_of(dit), latents(0, 1, 2), moves(0, 1, 5), [1])
