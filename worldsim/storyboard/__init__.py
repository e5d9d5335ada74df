"""Storyboards: timed prompts and actions in one file that a person can edit.

`split` makes one from a long prompt, `load` and `dump` read and write it, `timeline` and `actions` are what a rollout
needs of it.
"""

from worldsim.storyboard.files import dump, load
from worldsim.storyboard.playing import actions
from worldsim.storyboard.scenes import Scene, Storyboard, timeline
from worldsim.storyboard.splitting import expanded, split

__all__ = ["Scene", "Storyboard", "actions", "dump", "expanded", "load", "split", "timeline"]
