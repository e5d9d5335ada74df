"""The diffusion transformer: noisy latents, history, action and text in, clean latents out."""

from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.network import Condition, DiT, Output

__all__ = ["Condition", "DiT", "DiTConfig", "Output"]
