"""A world model of your own: the last motion goes on and dies out.

worldsim check model examples/my_model.py:Mine
worldsim eval --model examples/my_model.py:Mine --scenarios quick --episodes 16
"""

import numpy as np

from worldsim import ModelSpec, Prediction


class Mine:
    """Adds the difference of the last two frames again and again, a little less each time."""

    spec = ModelSpec(name="mine", context_length=2)

    def reset(self, context, *, seeds, indices=None):
        """Remembers the last frame of each world and how it differs from the one before."""
        last, before = context.frames[:, -1].astype(float), context.frames[:, -2].astype(float)
        if indices is None:
            self.frame, self.motion = last, last - before
        else:
            self.frame[indices], self.motion[indices] = last, last - before

    def step(self, actions):
        """One more frame of every world: (B, 1, H, W, 3) uint8."""
        self.motion = 0.8 * self.motion
        self.frame = self.frame + self.motion
        return Prediction(frames=self.frame.clip(0, 255).astype(np.uint8)[:, None])
