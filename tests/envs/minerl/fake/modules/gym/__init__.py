"""A stand-in for old Gym: as much of its registry and spaces as the worker looks at."""

from gym import envs, spaces  # noqa: F401

__version__ = "0.0-fake"


class Spec:
    def __init__(self, entry_point, max_episode_steps, kwargs):
        self.entry_point, self.max_episode_steps, self.kwargs = entry_point, max_episode_steps, kwargs


def register(id, entry_point, max_episode_steps=None, kwargs=None):
    envs.registration.registry.env_specs[id] = Spec(entry_point, max_episode_steps, kwargs or {})


def make(id):
    spec = envs.registration.registry.env_specs[id]
    env = spec.entry_point(**spec.kwargs)
    env.spec = spec
    return env
