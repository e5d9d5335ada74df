"""`gym:<id>`: any Gymnasium environment with pixels as a ground truth.

What an environment can do is found out by replay tests and declared, never guessed (`proof`). What is known beyond
pixels depends on the family: `ale`, `mujoco`, `miniworld`, `minigrid`; everything else is `backend.Backend`.
"""
