from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.model.small import small_dit
from worldsim.errors import ConfigError
from worldsim.model.dit import Condition, DiT, DiTConfig, Output
from worldsim.model.dit.attention import attend
from worldsim.model.dit.patches import Grid, grid, pad
from worldsim.model.dit.rotary import rotate, time_turn
from worldsim.model.flow import mix

KINDS = pytest.mark.parametrize("kind", ["full", "axial"])
DITS = {kind: small_dit(time_attention=kind) for kind in ("full", "axial")}
SIZE, P, A = (4, 6), 16, 5
WORDS = torch.tensor([[40, 41, 2] + [0] * 21, [50, 3] + [0] * 22])


def rand(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def asked(b: int, f: int, seed: int = 0, **changes: Any) -> Condition:
    """Conditions in which every frame differs."""
    draw = torch.Generator().manual_seed(seed)
    has = torch.ones(b, f, dtype=torch.bool)
    has[:, 0] = False
    condition = Condition(
        signal=torch.rand(b, f, generator=draw),
        level=torch.randint(0, 4, (b, f), generator=draw),
        previous_noise=0.3 * torch.rand(b, f, generator=draw) * has,
        has_previous=has,
        actions=torch.randn(b, f, A, generator=draw) * has[..., None],
        has_action=has,
    )
    return replace(condition, **changes)


def causal(f: int, window: int = 99) -> Tensor:
    i = torch.arange(f)
    return ((i[None] <= i[:, None]) & (i[:, None] - i[None] <= window))[None]


@torch.no_grad()
def run(
    dit: DiT,
    x: Tensor,
    before: Tensor,
    c: Condition,
    where: Grid,
    visible: Tensor | None = None,
    times: Tensor | None = None,
) -> Output:
    f = x.shape[1]
    look = dit.look(
        torch.arange(f, dtype=torch.float32)[None] if times is None else times,
        causal(f) if visible is None else visible,
        where,
        torch.float32,
    )
    out: Output = dit(x, before, c, where, look)
    return out


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    assert float((a - b).detach().abs().max()) < tolerance


def same(a: Output, b: Output, tolerance: float = 1e-5) -> None:
    for x, y in ((a.clean, b.clean), (a.reward, b.reward), (a.end, b.end)):
        close(x, y, tolerance)


def part(out: Output, rows: slice, frames: slice = slice(None), n: int | None = None) -> Output:
    return Output(clean=out.clean[rows, frames, :n], reward=out.reward[rows, frames], end=out.end[rows, frames])


# ---------------------------------------------------------------------------------------------------------- padding


@KINDS
@pytest.mark.parametrize("registers", [0, 2])
def test_padding_is_no_padding(kind: str, registers: int) -> None:
    """A clip in a batch of several sizes says what it says alone, whatever lies in the padding."""
    dit = small_dit(time_attention=kind, registers=registers, text_length=0)
    sizes, f = [(4, 6), (6, 4), (2, 4), (8, 8)], 5
    clips = [rand(i, 1, f, h * w // 4, P) for i, (h, w) in enumerate(sizes)]
    before = [rand(9 + i, *clip.shape) for i, clip in enumerate(clips)]
    (x, where), (y, _), c = pad(clips, sizes, 2), pad(before, sizes, 2), asked(4, f)
    assert where.valid is not None
    rubbish = (~where.valid)[:, None, :, None] * rand(50, *x.shape)
    for noise in (0.0, 1.0):
        together = run(dit, x + noise * rubbish, y + noise * rubbish, c, where)
        for i, size in enumerate(sizes):
            own = Condition(**{k: v[i : i + 1] for k, v in c.__dict__.items() if v is not None})
            alone = run(dit, clips[i], before[i], own, grid(size, 2))
            same(part(together, slice(i, i + 1), n=clips[i].shape[2]), alone)


@KINDS
def test_a_wide_clip_and_a_tall_one_are_not_the_same(kind: str) -> None:
    x, c = rand(0, 1, 3, 8, P), asked(1, 3)
    wide, tall = (run(DITS[kind], x, x, c, grid(size, 2)) for size in ((4, 8), (8, 4)))
    assert not torch.allclose(wide.clean, tall.clean, atol=1e-3)


# -------------------------------------------------------------------------------------------------------------- time


@KINDS
def test_a_frame_depends_on_itself_and_those_before(kind: str) -> None:
    dit, f = DITS[kind], 6
    x, before, c = rand(0, 2, f, 6, P), rand(1, 2, f, 6, P), asked(2, f)
    plain = run(dit, x, before, c, grid(SIZE, 2))
    for j in range(f):
        others = x.clone()
        others[:, j] += 1
        changed = run(dit, others, before, c, grid(SIZE, 2))
        if j:
            same(part(changed, slice(None), slice(0, j)), part(plain, slice(None), slice(0, j)), 1e-7)
        moved = (changed.clean - plain.clean).abs().amax(dim=(0, 2, 3))
        assert (moved[j:] > 1e-4).all()


@KINDS
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_only_differences_of_time_matter(kind: str, shift: int) -> None:
    x, c, times = rand(0, 1, 4, 6, P), asked(1, 4), torch.tensor([[0.0, 1.0, 2.0, 5.0]])
    a = run(DITS[kind], x, x, c, grid(SIZE, 2), times=times)
    b = run(DITS[kind], x, x, c, grid(SIZE, 2), times=times + shift)
    same(a, b, 2e-3 if shift > 1000 else 2e-4)  # float32 angles of thousands of frames; the cache never has them
    other = run(DITS[kind], x, x, c, grid(SIZE, 2), times=times * 2)
    assert not torch.allclose(a.clean[:, 1:], other.clean[:, 1:], atol=2e-3)


@KINDS
def test_the_mask_is_respected(kind: str) -> None:
    """With one time layer the frame W ago is seen, and the one before it not; the future where the mask says so."""
    dit = small_dit(depth=1, time_attention=kind)
    f, w = 7, dit.config.window
    x, c = rand(0, 1, f, 6, P), asked(1, f)
    plain = run(dit, x, x, c, grid(SIZE, 2), causal(f, w))
    others = x.clone()
    others[:, 1] += 1
    moved = (run(dit, others, x, c, grid(SIZE, 2), causal(f, w)).clean - plain.clean).abs().amax(dim=(0, 2, 3))
    assert [bool(m > 1e-5) for m in moved] == [False, True, True, True, True, True, False]
    ahead = causal(f)
    ahead[:, :, 6] = True
    others = x.clone()
    others[:, 6] += 1
    a, b = (run(dit, y, x, c, grid(SIZE, 2), ahead) for y in (x, others))
    assert ((a.clean - b.clean).abs().amax(dim=(0, 2, 3)) > 1e-5).all()


def test_axial_time_attention_sees_its_own_place_only_and_full_sees_all() -> None:
    for kind, reached in (("axial", [5]), ("full", list(range(8)))):
        look = DITS[kind].look(torch.arange(3.0)[None], causal(3), grid(SIZE, 2), torch.float32)
        q, k, v = rand(0, 1, 3, 8, 2, 16), rand(1, 1, 3, 8, 1, 16), rand(2, 1, 3, 8, 1, 16)
        others = v.clone()
        others[:, 0, 5] += 1  # one token of the first frame
        moved = (look.attend(0, q, k, v) - look.attend(0, q, k, others)).abs().amax(dim=(0, 3, 4)) > 1e-6
        assert moved[2].nonzero().flatten().tolist() == reached


# ----------------------------------------------------------------------------------------------------- what it is told


FIELDS: dict[str, Any] = {
    "signal": lambda c: c.signal * 0.5 + 0.1,
    "level": lambda c: (c.level + 1) % 4,
    "previous_noise": lambda c: c.previous_noise + 0.2,
    "actions": lambda c: c.actions + 1,
    "has_previous": lambda c: torch.ones_like(c.has_previous),
    "backward": lambda c: torch.ones(2, dtype=torch.bool),
}


@KINDS
@pytest.mark.parametrize("field", FIELDS)
def test_each_frame_is_told_by_itself(kind: str, field: str) -> None:
    """A condition of frame 2 alone reaches frames 2 and later, and none before."""
    dit, f = DITS[kind], 4
    x, c = rand(0, 2, f, 6, P), asked(2, f)
    value = FIELDS[field](c)
    if field not in ("backward", "has_previous"):
        kept = getattr(c, field).clone()
        kept[:, 2] = value[:, 2]
        value = kept
    plain, told = (run(dit, x, x, k, grid(SIZE, 2)) for k in (c, replace(c, **{field: value})))
    moved = (told.clean - plain.clean).abs().amax(dim=(0, 2, 3)) > 1e-5
    whole = field in ("has_previous", "backward")  # of the first frame, and of the clip
    assert moved.tolist() == ([True] * 4 if whole else [False, False, True, True])


def test_an_action_that_is_not_there_says_nothing() -> None:
    x, c = rand(0, 1, 2, 6, P), asked(1, 2)
    none = replace(c, has_action=torch.zeros_like(c.has_action))
    a, b = (run(DITS["full"], x, x, replace(none, actions=v), grid(SIZE, 2)) for v in (c.actions, c.actions + 5))
    same(a, b, 1e-7)


def test_noise_on_the_latent_before_is_not_told_where_there_is_none() -> None:
    x, c = rand(0, 1, 2, 6, P), asked(1, 2)
    loud = replace(c, previous_noise=torch.tensor([[0.3, 0.0]]) + c.previous_noise)
    same(run(DITS["full"], x, x, c, grid(SIZE, 2)), run(DITS["full"], x, x, loud, grid(SIZE, 2)), 1e-7)


def test_backward_time_is_told_clip_by_clip() -> None:
    x, c = rand(0, 2, 3, 6, P), asked(2, 3)
    plain = run(DITS["full"], x, x, c, grid(SIZE, 2))
    one = run(DITS["full"], x, x, replace(c, backward=torch.tensor([False, True])), grid(SIZE, 2))
    close(plain.clean[0], one.clean[0], 1e-7)
    assert not torch.allclose(plain.clean[1], one.clean[1], atol=1e-3)


# --------------------------------------------------------------------------------------------------------------- text


@KINDS
def test_an_empty_prompt_is_no_prompt(kind: str) -> None:
    dit, x, c = DITS[kind], rand(0, 2, 3, 6, P), asked(2, 3)
    words = WORDS.clone()
    words[1] = 0
    read = dit.read(words).detach()
    assert float(read[1].abs().max()) == 0 and float(read[0].abs().max()) > 0.01
    told = run(dit, x, x, replace(c, text=read[:, None].expand(-1, 3, -1, -1)), grid(SIZE, 2))
    plain = run(dit, x, x, c, grid(SIZE, 2))
    close(told.clean[1], plain.clean[1], 1e-6)
    assert not torch.allclose(told.clean[0], plain.clean[0], atol=1e-3)


def test_prompts_are_read_one_by_one_and_in_order() -> None:
    dit = DITS["full"]
    both = dit.read(WORDS)
    close(both[:1], dit.read(WORDS[:1]), 1e-6)
    turned = WORDS[:1].clone()
    turned[0, :2] = WORDS[0, :2].flip(0)
    assert not torch.allclose(dit.read(turned), both[:1], atol=1e-3)
    assert both.shape == (2, 2, 32)
    with pytest.raises(ValueError, match="without text"):
        small_dit(text_length=0).read(WORDS)


def test_text_holds_from_its_frame_on() -> None:
    dit, x, c = DITS["full"], rand(0, 2, 4, 6, P), asked(2, 4)
    text = dit.read(WORDS).detach()[:, None] * (torch.arange(4) >= 2)[None, :, None, None]
    a, b = (run(dit, x, x, k, grid(SIZE, 2)) for k in (c, replace(c, text=text)))
    moved = (a.clean - b.clean).abs().amax(dim=(0, 2, 3)) > 1e-5
    assert moved.tolist() == [False, False, True, True]


# -------------------------------------------------------------------------------------------------------------- heads


def test_rewards_and_ends_are_read_from_the_registers() -> None:
    dit, x, c = DITS["full"], rand(0, 2, 3, 6, P), asked(2, 3)
    out = run(dit, x, x, c, grid(SIZE, 2))
    assert out.reward.shape == out.end.shape == (2, 3) and out.reward.dtype == torch.float32
    with torch.no_grad():
        kept = dit.heads.weight.clone(), dit.heads.bias.clone()
        dit.heads.weight.zero_()
        dit.heads.bias.copy_(torch.tensor([2.0, -3.0]))
    try:
        told = run(dit, x, x, c, grid(SIZE, 2))
    finally:
        with torch.no_grad():
            dit.heads.weight.copy_(kept[0])
            dit.heads.bias.copy_(kept[1])
    assert (told.reward == 2).all() and (told.end == -3).all()
    close(told.clean, out.clean, 1e-7)


def test_an_untrained_transformer_predicts_nothing() -> None:
    """Every gate to the output starts at zero, so that training starts from the plainest guess."""
    dit = DiT(DiTConfig(channels=4, width=32, depth=2, heads=2, kv_heads=1, time_every=1), 5)
    x, c = rand(0, 1, 2, 6, P), asked(1, 2)
    out = run(dit, x, x, c, grid(SIZE, 2))
    assert float(out.clean.abs().max()) == 0 and float(out.reward.abs().max()) == 0


def test_noise_levels_are_of_a_frame_each() -> None:
    """Diffusion forcing: in one pass one frame is nearly clean and the next pure noise."""
    dit, clean, noise = DITS["full"], rand(0, 1, 2, 6, P), rand(1, 1, 2, 6, P)
    signal = torch.tensor([[0.9, 0.0]])
    c = asked(1, 2, signal=signal)
    z = mix(clean, noise, signal)
    assert torch.equal(z[:, 1], noise[:, 1])
    first = run(dit, z[:, :1], z[:, :1] * 0, Condition(**{k: v[:, :1] for k, v in c.__dict__.items() if v is not None}),
                grid(SIZE, 2))  # fmt: skip
    both = run(dit, z, torch.cat([z[:, :1] * 0, z[:, :1]], dim=1), c, grid(SIZE, 2))
    close(first.clean, both.clean[:, :1])


# -------------------------------------------------------------------------------------------------------------- parts


def test_grouped_heads_are_heads_that_share_keys() -> None:
    q, k, v = rand(0, 2, 5, 4, 8), rand(1, 2, 7, 2, 8), rand(2, 2, 7, 2, 8)
    out = attend(q, k, v, None)
    for head in range(4):
        scores = torch.einsum("bld,bsd->bls", q[:, :, head], k[:, :, head // 2]) / 8**0.5
        close(out[:, :, head], scores.softmax(-1) @ v[:, :, head // 2], 1e-5)


def test_bfloat16_on_a_cpu_is_the_same_attention() -> None:
    q, k, v = (rand(i, 2, 5, 2, 8).bfloat16() for i in range(3))
    mask = torch.zeros(2, 1, 5, 5).masked_fill_(~torch.ones(5, 5).tril().bool(), float("-inf"))
    for m in (None, mask):
        exact = attend(q.float(), k.float(), v.float(), m)
        close(attend(q, k, v, None if m is None else m.bfloat16()).float(), exact, 0.03)


def test_turning_keeps_lengths_and_products_depend_on_differences() -> None:
    x, y = rand(0, 1, 1, 1, 1, 32), rand(1, 1, 1, 1, 1, 32)

    def product(a: float, b: float) -> float:
        turned = [rotate(v, *time_turn(torch.tensor([[t]]), 32)) for v, t in ((x, a), (y, b))]
        assert float(turned[0].norm()) == pytest.approx(float(x.norm()), rel=1e-5)
        return float((turned[0] * turned[1]).sum())

    assert product(3, 5) == pytest.approx(product(10, 12), abs=1e-4)
    assert abs(product(3, 5) - product(3, 6)) > 1e-3


@pytest.mark.parametrize(
    "setting",
    [
        {"width": 250},
        {"width": 96, "heads": 24},
        {"heads": 8, "kv_heads": 3},
        {"depth": 2, "time_every": 3},
        {"window": 0},
        {"text_length": 8, "registers": 0},
    ],
)
def test_settings_that_make_no_transformer_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DiTConfig(**setting)
