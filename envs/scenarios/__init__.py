"""Scenario sets: questions put to a simulator, as data.

A set is one YAML file in the folder of its environment (`scenarios/blocks/quick.yaml`), or a file of your own. Keys are
strict: a typo is answered with the nearest key, the file and the line. Nothing here imports an environment.
"""

from worldsim.envs.scenarios.loading import ScenarioSet, list_sets, load_set

__all__ = ["ScenarioSet", "list_sets", "load_set"]
