"""A first attempt at a model and at an environment, each with mistakes that are easily made: see what the checker says.

worldsim check model examples/broken.py:BrokenModel
worldsim check env examples/broken.py:BrokenEnv
"""

from dataclasses import replace

import numpy as np

from worldsim import ModelSpec, Prediction
from worldsim.envs.actions import noop
from worldsim.envs.blocks.env import BlocksEnv


class BrokenModel:
    """Writes into the context, takes no notice of `seeds` and `indices`, and returns the same buffer every time."""

    spec = ModelSpec(name="broken", stochastic=True)

    def reset(self, context, *, seeds, indices=None):
        """Starts every world, whatever `indices` says, with noise that is always the same."""
        context.frames[:, -1] //= 2
        self.frames = context.frames[:, -1:].copy()
        self.noise = np.random.default_rng(0)

    def step(self, actions):
        """Adds noise to the last frame."""
        self.frames += self.noise.integers(0, 9, self.frames.shape, np.uint8)
        return Prediction(frames=self.frames)


class BrokenEnv(BlocksEnv):
    """The clock runs at half speed, the pose is mirrored, removed objects stay, restore forgets the time."""

    def truth(self):
        """The state, with a wrong time and a left-handed pose."""
        truth = super().truth()
        return replace(
            truth, time=truth.time / 2, world_from_camera=truth.world_from_camera @ np.diag([-1.0, 1.0, 1.0, 1.0])
        )

    def edit(self, change):
        """Makes the change, unless it is a removal."""
        if type(change).__name__ != "RemoveObject":
            super().edit(change)

    def restore(self, state, dynamics_seed=None):
        """Goes back to the state, but one step later."""
        super().restore(state, dynamics_seed)
        frame = self.step(noop(self.action_space))[0]
        return frame, self.truth()
