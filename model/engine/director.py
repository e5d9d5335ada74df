"""How a clip is made from what is known of it: on from its beginning, back from its end, or between two ends.

Frame i of a clip of T frames is reached from frame i - 1 by action i - 1. All arrays are of the whole clip, in the
order in which it is watched, whichever way it is drawn. Three ways, as trained (`worldsim.model.training.masks`):

- on: frames see those before them; with no frame known the first is drawn from the prompt alone;
- back: the same with time reversed, and the network told so;
- between: the first frames of the end are pinned in the cache at their times, and every frame before sees them;
  `meet` blends that with what is drawn back from the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim import seeding
from worldsim.errors import ShapeError
from worldsim.model.dit.attention import MaskedHistory
from worldsim.model.dit.network import Condition
from worldsim.model.engine.cache import Pinned, RingCache
from worldsim.model.engine.history import Recorder
from worldsim.model.engine.worlds import Worlds

#: Most frames of an end that are pinned: as many as in training (`MaskConfig.ahead_frames`).
AHEAD = 4


@dataclass(frozen=True, kw_only=True)
class Take:
    """A clip that was made.

    Attributes:
        latents: (B, T, N, P), known frames included.
        instability: (B, T), see `Drawn`; 0 for known frames.
        drawn: (T,) bool on the CPU, the frames that the network made.
    """

    latents: Tensor
    instability: Tensor
    drawn: Tensor

    def reversed(self) -> Take:
        """The same clip, watched from its end."""
        return Take(latents=self.latents.flip(1), instability=self.instability.flip(1), drawn=self.drawn.flip(0))


@torch.no_grad()
def go_on(
    worlds: Worlds,
    before: Tensor,
    actions: Tensor,
    seeds: Sequence[int],
    *,
    prompts: Mapping[int, Tensor | None] | None = None,
    cuts: Collection[int] = (),
) -> Take:
    """A clip from its first frames on.

    Args:
        worlds: B worlds of its size; whatever they lived before is over.
        before: (B, C, N, P) latents of the first frames, C >= 0.
        actions: (B, T - 1, A) scaled features.
        seeds: One a world.
        prompts: Frame -> (B, L) words that hold from that frame on, None = none. Known frames have the last prompt that
            holds among them.
        cuts: Frames, none of them known, that are drawn from the prompt alone, as if the clip began there.
    """
    return _roll(worlds, before, actions, seeds, prompts or {}, frozenset(cuts), backward=False)


@torch.no_grad()
def go_back(
    worlds: Worlds, after: Tensor, actions: Tensor, seeds: Sequence[int], *, words: Tensor | None = None
) -> Take:
    """A clip back from its last frames (B, C, N, P); other arguments as for `go_on`, in the order of watching."""
    prompts = {0: words}
    return _roll(worlds, after.flip(1), actions.flip(1), seeds, prompts, frozenset(), backward=True).reversed()


@torch.no_grad()
def go_between(
    worlds: Worlds,
    before: Tensor,
    after: Tensor,
    actions: Tensor,
    seeds: Sequence[int],
    *,
    words: Tensor | None = None,
) -> Take:
    """A clip between two ends: a join, or a loop if `after` is the beginning of the clip that `before` ends.

    Args:
        worlds: As for `go_on`; nothing stays pinned in them.
        before: (B, C, N, P), C >= 1.
        after: (B, E, N, P), E >= 1; its first `AHEAD` frames are pinned as soon as the last of these is less than a
            window ahead: farther ones were never seen in training.
        actions: (B, T - 1, A), T = C + gap + E. The one that leads to the first frame of `after` is not told: the
            network learnt ends that begin with nothing before them.
        seeds: One a world.
        words: (B, L) or None.
    """
    c, pinned, rows = before.shape[1], after[:, :AHEAD], range(worlds.batch)
    frames, ends = actions.shape[1] + 1, after.shape[1]
    first = frames - ends
    if c < 1 or ends < 1 or first < c:
        raise ShapeError(
            f"a clip between two ends needs one frame of each at least, and no less than 0 between them: got {c}, "
            f"{ends} and {first - c}"
        )
    own = actions[:, first : first + pinned.shape[1] - 1]
    reach = first + pinned.shape[1] - worlds.dit.config.window  # from this frame on the end is less than a window ahead
    worlds.cache.pinned = None
    worlds.start(rows, before, actions[:, : c - 1], seeds, words)
    if reach <= c:
        _remember_between(worlds, before, actions[:, : c - 1], pinned, own, first)
    latents, unsure = [*before.unbind(1)], [torch.zeros(worlds.batch, device=before.device)] * c
    try:
        for f in range(c, first):
            if f == reach > c:
                worlds.cache.pinned = pin(worlds, pinned, own, first)
            step = worlds.step(actions[:, f - 1])
            latents.append(step.clean)
            unsure.append(step.instability)
    finally:
        worlds.cache.pinned = None
    latents += after.unbind(1)
    unsure += [torch.zeros_like(unsure[0])] * ends
    drawn = torch.zeros(frames, dtype=torch.bool)
    drawn[c:first] = True
    return Take(latents=torch.stack(latents, dim=1), instability=torch.stack(unsure, dim=1), drawn=drawn)


@torch.no_grad()
def meet(
    worlds: Worlds,
    before: Tensor,
    after: Tensor,
    actions: Tensor,
    seeds: Sequence[int],
    *,
    words: Tensor | None = None,
) -> tuple[Take, Tensor]:
    """A clip between two ends from both sides: `go_between` and `go_back`, blended.

    The error of a rollout grows about linearly with its length, so each side weighs as much as the other is far away:
    weights inverse to their variances.

    Returns:
        The clip, and (B,) the RMS difference of the two sides over the gap: how badly they meet. It is small only if
        the actions lead from one end to the other.
    """
    c, ends = before.shape[1], after.shape[1]
    on = go_between(worlds, before, after, actions, seeds, words=words)
    first = on.latents.shape[1] - ends
    if first == c:
        return on, torch.zeros(worlds.batch, device=before.device)
    back = go_back(worlds, after, actions[:, c:], seeds, words=words)
    share = torch.arange(1, first - c + 1, device=before.device) / (first - c + 1)
    ahead, behind = on.latents[:, c:first], back.latents[:, : first - c]
    latents, unsure = on.latents.clone(), on.instability.clone()
    latents[:, c:first] = torch.lerp(ahead, behind, share[:, None, None])
    unsure[:, c:first] = torch.lerp(on.instability[:, c:first], back.instability[:, : first - c], share)
    apart = (ahead - behind).square().mean(dim=(1, 2, 3)).sqrt()
    return Take(latents=latents, instability=unsure, drawn=on.drawn), apart


def landing(take: Take, target: Tensor) -> Tensor:
    """(B,) RMS distance of the last frame that was drawn from a latent (B or 1, N, P): how well a gap is closed.

    Raises:
        ShapeError: If nothing was drawn.
    """
    at = torch.nonzero(take.drawn)
    if not len(at):
        raise ShapeError("nothing was drawn, so nothing lands: the gap must have 1 frame at least")
    return (take.latents[:, int(at[-1])] - target).square().mean(dim=(1, 2)).sqrt()


@torch.no_grad()
def pin(worlds: Worlds, latents: Tensor, actions: Tensor, first: int) -> Pinned:
    """Keys and values of frames that are known ahead: they see themselves only, in their order.

    Args:
        worlds: Whose prompts and grid hold.
        latents: (B, E, N, P).
        actions: (B, E - 1, A) between them.
        first: The number of the first of them.
    """
    count = latents.shape[1]
    numbers = torch.arange(count, device=latents.device)
    visible = numbers[None] <= numbers[:, None]
    captured = _pass(worlds, latents, actions, numbers > 0, numbers + first, visible)
    return _pinned(worlds, captured, range(count), numbers + first)


# ------------------------------------------------------------------------------------------------------------- private


def _roll(
    worlds: Worlds,
    before: Tensor,
    actions: Tensor,
    seeds: Sequence[int],
    prompts: Mapping[int, Tensor | None],
    cuts: frozenset[int],
    *,
    backward: bool,
) -> Take:
    b, c = before.shape[:2]
    frames, rows = actions.shape[1] + 1, range(b)
    if b != worlds.batch or len(actions) != b or frames < c:
        raise ShapeError(
            f"{worlds.batch} worlds need as many beginnings and actions of the whole clip, got {b} of {c} frames and "
            f"actions {tuple(actions.shape)}"
        )
    worlds.cache.pinned = None
    at_start = [f for f in prompts if f <= max(c - 1, 0)]
    words = prompts[max(at_start)] if at_start else None
    worlds.start(rows, before, actions[:, : max(c - 1, 0)], seeds, words, backward=backward)
    latents, unsure = [*before.unbind(1)], [torch.zeros(b, device=before.device)] * c
    nothing = actions.new_zeros(b, actions.shape[2])
    for f in range(c, frames):
        if f in prompts:
            words = prompts[f]
        if f in cuts:
            anew = [seeding.hash_seed("cut", int(seed), f) for seed in seeds]
            worlds.start(rows, before[:, :0], actions[:, :0], anew, words)
        elif f in prompts:
            worlds.set_words(rows, words)
        step = worlds.step(actions[:, f - 1] if f else nothing)
        latents.append(step.clean)
        unsure.append(step.instability)
    return Take(
        latents=torch.stack(latents, dim=1),
        instability=torch.stack(unsure, dim=1),
        drawn=torch.arange(frames) >= c,
    )


def _remember_between(worlds: Worlds, before: Tensor, led: Tensor, after: Tensor, own: Tensor, first: int) -> None:
    """Commits both ends in one pass, in which the beginning sees the end, as in training."""
    config, c, e = worlds.dit.config, before.shape[1], after.shape[1]
    kept = min(c, config.window)
    device = before.device
    is_end = torch.arange(kept + e, device=device) >= kept
    times = torch.cat([torch.arange(c - kept, c, device=device), torch.arange(first, first + e, device=device)])
    order = torch.arange(kept + e, device=device)
    # A frame sees those of its own end that come before it, and the beginning sees all of the end, too.
    past, same = order[None] <= order[:, None], is_end[None] == is_end[:, None]
    visible = (past & same) | (is_end[None] & ~is_end[:, None])
    has_previous = times > 0
    has_previous[kept] = False
    gap = led.new_zeros(len(led), 1, led.shape[2])  # leads to the end's first frame, and is not told
    # `_pass` shifts latents and actions by one frame, so what leads to the first kept frame comes in front.
    latents = torch.cat([before[:, c - kept :], after], dim=1)
    lead = led[:, c - kept - 1 : c - kept] if c > kept else gap
    previous = before[:, c - kept - 1] if c > kept else None
    moves = torch.cat([led[:, c - kept :], gap, own], dim=1)
    captured = _pass(worlds, latents, moves, has_previous, times, visible, lead=lead, previous=previous)
    ring = RingCache(config, worlds.batch, worlds.cache.keys[0].shape[2], device, worlds.cache.keys[0].dtype)
    for t in range(kept):
        frame = {layer: (k[:, t], v[:, t]) for layer, (k, v) in captured.items()}
        ring.push(frame, times[t].float().expand(worlds.batch))
    for row in range(worlds.batch):
        worlds.cache.write(row, ring.read(row))
    worlds.cache.pinned = _pinned(worlds, captured, range(kept, kept + e), times[kept:])


def _pass(
    worlds: Worlds,
    latents: Tensor,
    actions: Tensor,
    has_previous: Tensor,
    times: Tensor,
    visible: Tensor,
    *,
    lead: Tensor | None = None,
    previous: Tensor | None = None,
) -> dict[int, tuple[Tensor, Tensor]]:
    """Known frames through the network, as `Worlds` commits them: layer -> keys, values (B, F, M, kv heads, head)."""
    b, f = latents.shape[:2]
    noise, device = worlds.sampler.context_noise, latents.device
    has = has_previous.expand(b, f)
    before = F.pad(latents[:, :-1], (0, 0, 0, 0, 1, 0))
    if previous is not None:
        before = torch.cat([previous[:, None], before[:, 1:]], dim=1)
    led = torch.cat([actions.new_zeros(b, 1, actions.shape[2]) if lead is None else lead, actions], dim=1)
    condition = Condition(
        signal=torch.full((b, f), 1 - noise, device=device),
        level=torch.full((b, f), 3, dtype=torch.int64, device=device),
        previous_noise=torch.full((b, f), noise, device=device),
        has_previous=has,
        actions=led,
        has_action=has,
        text=None if worlds.dit.text is None else worlds.text[:, None].expand(-1, f, -1, -1),
        backward=worlds.backward,
    )
    look = worlds.dit.look(times[None].float(), visible[None], worlds.grid, latents.dtype)
    assert isinstance(look, MaskedHistory)
    history = Recorder(look)
    worlds.dit(latents, before * has[..., None, None], condition, worlds.grid, history)
    return history.captured


def _pinned(worlds: Worlds, captured: Mapping[int, tuple[Tensor, Tensor]], which: range, times: Tensor) -> Pinned:
    span, dtype = slice(which.start, which.stop), worlds.cache.keys[0].dtype
    layers = worlds.dit.config.time_layers
    return Pinned(
        keys=[captured[layer][0][:, span].to(dtype) for layer in layers],
        values=[captured[layer][1][:, span].to(dtype) for layer in layers],
        times=times.float().expand(worlds.batch, len(which)),
    )
