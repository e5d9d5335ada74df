from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.small import small_dit
from worldsim.errors import ConfigError, UnsupportedError
from worldsim.model.dit import Condition, DiT
from worldsim.model.dit.attention import History
from worldsim.model.dit.network import Output
from worldsim.model.dit.patches import Grid
from worldsim.model.engine.cache import CachedHistory, Pinned, RingCache
from worldsim.model.engine.recompute import RecomputedWorlds
from worldsim.model.engine.sampler import SamplerConfig, commit, draw
from worldsim.model.engine.worlds import Worlds

SIZE, TOKENS, P, A = (4, 6), 6, 16, 5
DITS: dict[str, DiT] = {kind: small_dit(time_attention=kind) for kind in ("full", "axial")}
DIT = DITS["full"]
WORDS = torch.tensor([[40, 41, 2] + [0] * 21, [50, 3] + [0] * 22])
KINDS = pytest.mark.parametrize("kind", ["full", "axial"])


def rand(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(dit: DiT = DIT, batch: int = 2, **sampler: Any) -> Worlds:
    return Worlds(dit, SamplerConfig(**sampler), batch, SIZE)


def begin(worlds: Worlds, c: int = 3, words: Tensor | None = None, seed: int = 0) -> Worlds:
    b = worlds.batch
    context, actions = 0.5 * rand(seed, b, c, TOKENS, P), rand(seed + 1, b, max(c - 1, 0), A)
    worlds.start(range(b), context, actions, range(seed, seed + b), words)
    return worlds


def play(worlds: Worlds, steps: int, first: int = 0) -> Tensor:
    """(B, steps, N, P); actions depend on the step and the row only."""
    return torch.stack([worlds.step(rand(100 + first + t, 8, A)[: worlds.batch]).clean for t in range(steps)], dim=1)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> None:
    assert float((a - b).detach().abs().max()) < tolerance


# ----------------------------------------------------------------------------------------------- cache = recompute


@KINDS
@pytest.mark.parametrize("c", [0, 1, 3, 11])
@pytest.mark.parametrize("steps", [1, 2])
def test_cached_steps_are_recomputed_steps(kind: str, c: int, steps: int) -> None:
    """Over five windows of 4 frames, from no frame, an image, a short context and one beyond the window."""
    dit, sampler = DITS[kind], SamplerConfig(steps=steps)
    cached = play(begin(make(dit, steps=steps), c, WORDS), 20)
    recomputed = play(begin(RecomputedWorlds(dit, sampler, 2, SIZE), c, WORDS), 20)
    assert float(cached.std()) > 0.1
    close(cached, recomputed)


def test_the_past_beyond_the_window_matters_through_two_layers() -> None:
    """Or else the test above would pass with a cache that forgets: a shorter reach is another world."""
    sampler = SamplerConfig()
    whole = play(begin(RecomputedWorlds(DIT, sampler, 2, SIZE), 3), 12)
    short = play(begin(RecomputedWorlds(DIT, sampler, 2, SIZE, reach=4), 3), 12)
    close(whole[:, :1], short[:, :1], 1e-6)
    assert float((whole[:, -1] - short[:, -1]).abs().max()) > 1e-3


def test_what_recomputing_cannot_do_is_said() -> None:
    with pytest.raises(UnsupportedError, match="without guidance"):
        RecomputedWorlds(DIT, SamplerConfig(text_guidance=2.0), 2, SIZE)
    with pytest.raises(UnsupportedError, match="start together"):
        RecomputedWorlds(DIT, SamplerConfig(), 2, SIZE).start([0], rand(0, 1, 1, TOKENS, P), rand(0, 1, 0, A), [0])


@KINDS
def test_all_of_the_past_matters_up_to_the_window(kind: str) -> None:
    """One layer: the frame W ago is seen, the one before it is not."""
    dit = small_dit(depth=1, time_attention=kind, previous=False)
    for ago, seen in ((4, True), (5, False)):
        runs = []
        for change in (0.0, 1.0):
            context = 0.5 * rand(0, 2, 8, TOKENS, P)
            context[:, 8 - ago] += change
            worlds = make(dit, steps=1)
            worlds.start(range(2), context, rand(1, 2, 7, A), [0, 1])
            runs.append(worlds.step(rand(2, 2, A)).clean)
        assert (not torch.allclose(*runs, atol=1e-6)) == seen


@torch.no_grad()
def test_a_context_is_worth_its_frames_one_by_one() -> None:
    """Committing a context in one pass fills the cache as committing each frame does."""
    context, actions = 0.5 * rand(0, 2, 4, TOKENS, P), rand(1, 2, 3, A)
    at_once, by_steps = make(), make()
    at_once.start(range(2), context, actions, [0, 1])
    by_steps.start(range(2), context[:, :1], actions[:, :0], [0, 1])
    for t in range(1, 4):
        frame = by_steps._input(actions[:, t - 1], None)
        commit(by_steps.network, context[:, t], frame, by_steps.grid, by_steps.cache, by_steps.sampler)
        by_steps._advance(context[:, t])
    for row in range(2):
        a, b = at_once.read(row), by_steps.read(row)
        close(a["keys"], b["keys"], 1e-5)
        close(a["values"], b["values"], 1e-5)
        assert torch.equal(a["times"], b["times"]) and a["frame"] == b["frame"] == 4


# ----------------------------------------------------------------------------------------------------------- fused


@KINDS
@pytest.mark.parametrize("settings", [{}, {"text_guidance": 2.0}, {"history_guidance": 1.5, "text_guidance": 0.5}])
@pytest.mark.parametrize(("steps", "c"), [(1, 0), (2, 3), (4, 1)])
def test_the_fused_form_draws_the_same_frames(kind: str, settings: dict[str, Any], steps: int, c: int) -> None:
    dit = DITS[kind]
    apart, fused = (begin(make(dit, steps=steps, fused=f, **settings), c, WORDS) for f in (False, True))
    a, b = play(apart, 8), play(fused, 8)
    for worlds in (apart, fused):  # another prompt for one, another world for the other
        worlds.set_words([0], WORDS[1:])
        worlds.start([1], 0.5 * rand(7, 1, 2, TOKENS, P), rand(8, 1, 1, A), [9], WORDS[:1])
    a, b = torch.cat([a, play(apart, 8, 8)], dim=1), torch.cat([b, play(fused, 8, 8)], dim=1)
    close(a, b, 1e-5)


def test_the_fused_form_takes_one_pass_less() -> None:
    for fused, passes in ((False, 3), (True, 2)):
        seen: list[int] = []

        def count(noisy: Tensor, *rest: Any, seen: list[int] = seen) -> Output:
            seen.append(noisy.shape[1])
            return DIT(noisy, *rest)

        worlds = begin(Worlds(DIT, SamplerConfig(steps=2, fused=fused), 2, SIZE, network=count))
        play(worlds, 5)
        assert len(seen) == 5 * passes
        assert max(seen) == (2 if fused else 1)


def test_reward_and_end_are_those_of_the_clean_frame_or_of_the_last_step() -> None:
    apart, fused = begin(make(steps=2)), begin(make(steps=2, fused=True))
    frame = apart._input(rand(100, 8, A)[:2], None)
    drawn = draw(apart.network, frame, apart.grid, apart.cache, apart.sampler)
    step, other = apart.step(rand(100, 8, A)[:2]), fused.step(rand(100, 8, A)[:2])
    assert drawn.told is not None
    close(other.reward, drawn.told.reward[:, 0], 1e-5)
    assert not torch.allclose(step.reward, other.reward, atol=1e-5)


# ---------------------------------------------------------------------------------------------------- independence


@pytest.mark.parametrize("fused", [False, True])
def test_starting_one_world_anew_leaves_the_others_bit_for_bit(fused: bool) -> None:
    alone, disturbed = begin(make(batch=3, fused=fused)), begin(make(batch=3, fused=fused))
    first = torch.equal(play(alone, 6), play(disturbed, 6))
    disturbed.start([1], 0.5 * rand(7, 1, 2, TOKENS, P), rand(8, 1, 1, A), [9])
    a, b = play(alone, 6, 6), play(disturbed, 6, 6)
    assert first and torch.equal(a[[0, 2]], b[[0, 2]])
    assert not torch.allclose(a[1], b[1])


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("c", [0, 2, 6])
def test_a_world_started_in_a_running_batch_is_as_if_alone(fused: bool, c: int) -> None:
    worlds, fresh = begin(make(batch=3, fused=fused)), make(batch=3, fused=fused)
    play(worlds, 5)
    context, actions = 0.5 * rand(7, 1, c, TOKENS, P), rand(8, 1, max(c - 1, 0), A)
    worlds.start([1], context, actions, [9])
    fresh.start(range(3), context.expand(3, -1, -1, -1), actions.expand(3, -1, -1), [0, 9, 1])
    a, b = play(worlds, 6), play(fresh, 6)
    close(a[1], b[1], 1e-5)


def test_a_step_that_was_handed_out_does_not_change() -> None:
    worlds = begin(make())
    step = worlds.step(rand(0, 2, A)).clean
    kept = step.clone()
    worlds.start([0], 0.5 * rand(7, 1, 2, TOKENS, P), rand(8, 1, 1, A), [9])
    worlds.write(1, worlds.read(0))
    play(worlds, 2)
    assert torch.equal(step, kept)


def test_prompts_hold_from_the_next_frame_on_and_for_their_rows_only() -> None:
    plain, told = begin(make()), begin(make())
    assert torch.equal(play(plain, 2), play(told, 2))
    told.set_words([1], WORDS[:1])
    a, b = play(plain, 2, 2), play(told, 2, 2)
    assert torch.equal(a[0], b[0]) and not torch.allclose(a[1], b[1])
    told.set_words([1], None)
    assert float(told.text[1].abs().max()) == 0


# -------------------------------------------------------------------------------------------------------- guidance


class Spy:
    """The network, with what it was told and what it said."""

    def __init__(self) -> None:
        self.calls: list[tuple[Condition, Tensor, Output]] = []

    def __call__(self, noisy: Tensor, previous: Tensor, c: Condition, grid: Grid, history: History) -> Output:
        out: Output = DIT(noisy, previous, c, grid, history)
        self.calls.append((c, previous, out))
        return out


@torch.no_grad()
def drawn_with(**settings: Any) -> tuple[Tensor, Spy]:
    worlds, spy = begin(make(steps=1), 3, WORDS), Spy()
    frame = worlds._input(rand(0, 2, A), None)
    return draw(spy, frame, worlds.grid, worlds.cache, SamplerConfig(steps=1, **settings)).clean, spy


def test_guidance_of_one_is_off_of_nought_is_unconditional_and_of_two_is_twice_the_way() -> None:
    plain, spy = drawn_with()
    assert len(spy.calls) == 1
    for name in ("text_guidance", "history_guidance"):
        without, spy = drawn_with(**{name: 0.0})
        assert len(spy.calls) == 2
        close(without, spy.calls[1][2].clean[:, 0], 1e-5)  # what the second pass said, and nothing of the first
        assert not torch.allclose(without, plain, atol=1e-3)
        close(drawn_with(**{name: 2.0})[0], 2 * plain - without, 1e-4)
        close(drawn_with(**{name: 1.0})[0], plain, 1e-7)
    c, previous, _ = spy.calls[1]
    assert not c.has_previous.any() and float(previous.abs().max()) == 0 and c.text is not None
    c, previous, _ = drawn_with(text_guidance=0.0)[1].calls[1]
    assert c.text is None and c.has_previous.all() and float(previous.abs().max()) > 0


@torch.no_grad()
def test_without_the_past_a_frame_is_a_first_one() -> None:
    """History guidance of 0 draws what a world without context draws, apart from its action."""
    first = begin(make(steps=1), 0, WORDS)
    frame = first._input(torch.zeros(2, A), None)
    alone = draw(DIT, frame, first.grid, first.cache, SamplerConfig(steps=1)).clean
    worlds = begin(make(steps=1), 3, WORDS)
    later = worlds._input(torch.zeros(2, A), torch.zeros(2, dtype=torch.bool))
    later = type(later)(**{**later.__dict__, "noise": frame.noise})
    blind = draw(DIT, later, worlds.grid, worlds.cache, SamplerConfig(steps=1, history_guidance=0.0)).clean
    close(alone, blind, 1e-5)


def test_a_world_without_a_prompt_is_not_guided_by_text() -> None:
    worlds = {
        g: begin(make(text_guidance=g), 3, torch.stack([WORDS[0], torch.zeros_like(WORDS[0])])) for g in (1.0, 3.0)
    }
    a, b = play(worlds[1.0], 3), play(worlds[3.0], 3)
    close(a[1], b[1], 1e-5)
    assert not torch.allclose(a[0], b[0], atol=1e-3)


# ------------------------------------------------------------------------------------------------------ uncertainty


@pytest.mark.parametrize("fused", [False, True])
def test_the_spread_of_redraws_leaves_the_frames_alone(fused: bool) -> None:
    plain, asked = begin(make(fused=fused)), begin(make(fused=fused, redraws=3))
    for t in range(4):
        a, b = plain.step(rand(t, 2, A)), asked.step(rand(t, 2, A))
        assert a.spread is None and b.spread is not None
        assert torch.equal(a.clean, b.clean)
        assert (b.spread > 0).all()


def test_the_spread_is_the_rms_about_the_mean() -> None:
    """A network that answers with its noise: draws of N(0, 1) spread by 1, whatever the number of redraws."""

    def echo(noisy: Tensor, previous: Tensor, c: Condition, grid: Grid, history: History) -> Output:
        out: Output = DIT(noisy, previous, c, grid, history)
        return Output(clean=noisy, reward=out.reward, end=out.end)

    worlds = begin(Worlds(DIT, SamplerConfig(steps=1, redraws=40), 2, SIZE, network=echo))
    spread = worlds.step(rand(0, 2, A)).spread
    assert spread is not None
    close(spread, torch.ones(2), 0.05)
    assert float(worlds.step(rand(0, 2, A)).instability.max()) == 0


@pytest.mark.parametrize("setting", [{"steps": 3}, {"context_noise": 1.5}, {"redraws": -1}])
def test_settings_that_make_no_sense_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, ValueError)):
        SamplerConfig(**setting)


# ----------------------------------------------------------------------------------------------------------- pinned


@torch.no_grad()
def test_pinned_frames_are_seen_and_travel_with_a_world() -> None:
    def pinned(seed: int) -> Pinned:
        shape = (2, 2, TOKENS + 2, 1, 16)
        return Pinned(
            keys=[rand(seed, *shape), rand(seed + 1, *shape)],
            values=[rand(seed + 2, *shape), rand(seed + 3, *shape)],
            times=torch.tensor([[9.0, 10.0]] * 2),
        )

    plain, ahead = begin(make()), begin(make())
    ahead.cache.pinned = pinned(0)
    kept = ahead.read(0)
    expected = play(ahead, 3)
    assert not torch.allclose(expected, play(plain, 3), atol=1e-3)
    other = begin(make(), seed=5)
    with pytest.raises(Exception, match="2 pinned frames cannot join a batch whose worlds have 0"):
        other.write(1, kept)
    other.cache.pinned = pinned(50)
    other.write(0, kept)
    assert torch.equal(play(other, 3)[0], expected[0])


def test_positions_in_the_cache_do_not_grow() -> None:
    """What a frame sees depends on differences of time: a world at frame 10 million is as one at frame 3."""
    cache = RingCache(DIT.config, 1, TOKENS + 2, "cpu")
    late = RingCache(DIT.config, 1, TOKENS + 2, "cpu")
    for t in range(6):
        new = {layer: (rand(t, 1, 8, 1, 16), rand(50 + t, 1, 8, 1, 16)) for layer in (0, 1)}
        cache.push(new, torch.tensor([float(t)]))
        late.push(new, torch.tensor([1e7 + t]))
    q, k, v = rand(1, 1, 1, 8, 2, 16), rand(2, 1, 1, 8, 1, 16), rand(3, 1, 1, 8, 1, 16)
    a = CachedHistory(cache, torch.tensor([[6.0]])).attend(0, q, k, v)
    b = CachedHistory(late, torch.tensor([[1e7 + 6]])).attend(0, q, k, v)
    assert torch.equal(a, b)
