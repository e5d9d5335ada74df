"""Training on own predictions: all frames at once must give what playing one after the other gives."""

from __future__ import annotations

import numpy as np
import torch

from tests.model.small import small_dit
from worldsim import seeding
from worldsim.model.dit.patches import grid
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.engine.worlds import Worlds
from worldsim.model.training.dit_config import DiTLossConfig
from worldsim.model.training.dit_task import DiTLoss
from worldsim.model.training.masks import MaskConfig, draw_masks

FRAMES, CELLS = 7, (4, 4)


def clip(dit, rollout: list[bool]) -> dict[str, torch.Tensor]:
    """A batch in which every clip is played forwards and remembers all."""
    b, n, p = len(rollout), 4, dit.config.token
    generator = torch.Generator().manual_seed(5)
    after = (torch.arange(FRAMES) > 0).expand(b, FRAMES)
    noise = [
        [
            torch.randn(n, p, generator=torch.Generator().manual_seed(seeding.hash_seed("frame", i, t)))
            for t in range(FRAMES)
        ]
        for i in range(b)
    ]
    return {
        "clean": torch.randn(b, FRAMES, n, p, generator=generator),
        "noise": torch.stack([torch.stack(row) for row in noise]),
        "previous_draw": torch.zeros(b, FRAMES, n, p),
        "previous_noise": 0.1 * after.float(),
        "signal": torch.rand(b, FRAMES, generator=generator),
        "level": torch.full((b, FRAMES), 3),
        "has_previous": after,
        "visible": torch.ones(FRAMES, FRAMES, dtype=torch.bool).tril().expand(b, FRAMES, FRAMES),
        "asked": torch.ones(b, FRAMES),
        "backward": torch.zeros(b, dtype=torch.bool),
        "times": torch.arange(FRAMES, dtype=torch.float32)[None],
        "actions": torch.randn(b, FRAMES, dit.action_features, generator=generator) * after[..., None],
        "has_action": after,
        "rollout": torch.tensor(rollout),
    }


def test_as_many_passes_as_frames_are_a_rollout() -> None:
    """The Jacobi iteration ends at what the engine plays: the same noise, history, latent before and step size."""
    dit = small_dit(window=FRAMES, text_length=0)
    batch = clip(dit, [True, True])
    loss = DiTLoss(dit, DiTLossConfig())
    own = loss._own(batch, grid(CELLS, 2), None, FRAMES)
    worlds = Worlds(dit, SamplerConfig(steps=1, context_noise=0.1), 2, CELLS)
    worlds.start(range(2), batch["clean"][:, :1], torch.zeros(2, 0, dit.action_features), [0, 1])
    for t in range(1, FRAMES):
        drawn = worlds.step(batch["actions"][:, t]).clean
        assert torch.allclose(own[:, t], drawn, atol=1e-4), t
    assert torch.equal(own[:, 0], batch["clean"][:, 0])  # nothing leads to the first frame


def test_one_pass_predicts_each_frame_from_the_truth_before_it() -> None:
    dit = small_dit(window=FRAMES, text_length=0)
    batch = clip(dit, [True])
    loss = DiTLoss(dit, DiTLossConfig())
    own = loss._own(batch, grid(CELLS, 2), None, 1)
    for t in (1, 4):
        worlds = Worlds(dit, SamplerConfig(steps=1, context_noise=0.1), 1, CELLS)
        worlds.start([0], batch["clean"][:, :t], batch["actions"][:, 1:t], [0])
        assert torch.allclose(own[:, t], worlds.step(batch["actions"][:, t]).clean, atol=1e-4)


def test_clips_that_are_not_chosen_keep_the_truth() -> None:
    dit = small_dit(text_length=0)
    batch = clip(dit, [False, True, False])
    own = DiTLoss(dit, DiTLossConfig())._own(batch, grid(CELLS, 2), None, 2)
    assert torch.equal(own[0], batch["clean"][0])
    assert torch.equal(own[2], batch["clean"][2])
    assert not torch.allclose(own[1, 1:], batch["clean"][1, 1:])


def test_before_shortcuts_every_step_size_is_drawn_and_after_that_only_shortcuts_are_coarse() -> None:
    rng = np.random.default_rng(0)
    early = draw_masks(rng, 64, 6, 8, MaskConfig(ahead=0.0), shortcut=False)
    assert set(np.unique(early.level)) == {0, 1, 2, 3}
    assert (early.level == early.level[:, :1]).all()
    late = draw_masks(rng, 64, 6, 8, MaskConfig(ahead=0.0, shortcut=0.25), shortcut=True)
    assert (late.level[:16] < 3).all()
    assert (late.level[16:] == 3).all()
