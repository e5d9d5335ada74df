"""Doom as a truth: maps of our own, written and led by our code, in the engine of ViZDoom (extra `vizdoom`)."""
