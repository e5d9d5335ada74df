"""Whatever chooses the actions of one world: scripted probes, a walk that revisits, a recording, a policy, a person."""

from worldsim.envs.controllers.explore import Explore
from worldsim.envs.controllers.script import PROBES, Script
from worldsim.envs.controllers.simple import Human, NoOp, Policy, Replay

__all__ = ["PROBES", "Explore", "Human", "NoOp", "Policy", "Replay", "Script"]
