"""From an id to an environment, ready to be drawn without a screen; what is missing is named with its command."""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib
import io
import os
from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from worldsim.envs.gymnasium_adapter.backend import Backend
from worldsim.errors import ConfigError, PrerequisiteError, UnknownNameError, nearest

#: Start of an id -> (package that registers such ids, extra of worldsim that installs it).
PACKAGES: Mapping[str, tuple[str, str]] = {
    "ALE/": ("ale_py", "atari"),
    "MiniWorld-": ("miniworld", "miniworld"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
}
#: Top package of an environment's class -> module and class of its backend.
BACKENDS: Mapping[str, str] = {
    "ale_py": "ale:AleBackend",
    "miniworld": "miniworld:MiniWorldBackend",
    "minigrid": "minigrid:MiniGridBackend",
    "gymnasium.envs.mujoco": "mujoco:MujocoBackend",
}
#: Gymnasium's own families -> the command that installs what they need.
_OWN = {
    "gymnasium.envs.box2d": "pip install 'gymnasium[box2d]'",
    "gymnasium.envs.mujoco": "pip install 'worldsim[mujoco]'",
    "gymnasium.envs.classic_control": "pip install 'gymnasium[classic-control]'",
    "gymnasium.envs.toy_text": "pip install 'gymnasium[toy-text]'",
}


def prepare_drawing() -> None:
    """No window, no sound: said before the libraries are imported, and only where the user said nothing."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if "MUJOCO_GL" not in os.environ:
        os.environ["MUJOCO_GL"] = "egl" if ctypes.util.find_library("EGL") else "osmesa"


def register(env_id: str) -> None:
    """Imports the package that knows an id.

    Raises:
        PrerequisiteError: If it is not installed; with the command.
    """
    package, extra = next((p for start, p in PACKAGES.items() if env_id.startswith(start)), ("", ""))
    if not package:
        return
    try:
        if package == "miniworld":  # it opens a window otherwise; pyglet reads this once, at its import of a window
            pyglet = importlib.import_module("pyglet")
            pyglet.options["headless"] = True
        module = importlib.import_module(package)
    except ImportError as error:
        raise PrerequisiteError(
            f"gym:{env_id} needs the package {package}, which cannot be imported ({error}); run: pip install "
            f"'worldsim[{extra}]'{_GL if package == 'miniworld' else ''}"
        ) from error
    if package == "ale_py":
        module.ALEInterface.setLoggerMode(module.LoggerMode.Error)
        gym.register_envs(module)


_GL = " (and OpenGL: apt-get install libegl1 libglu1-mesa libgl1-mesa-dri)"


def build(env_id: str, size: tuple[int, int], kwargs: Mapping[str, Any]) -> tuple[gym.Env[Any, Any], Backend]:
    """The environment and what looks into it.

    Raises:
        UnknownNameError: If no such id is registered.
        PrerequisiteError: If a package is missing.
        ConfigError: If it does not take these arguments, or has no pixels.
    """
    prepare_drawing()
    register(env_id)
    spec = _spec(env_id)
    given = dict(kwargs)
    top = str(spec.entry_point).split(".")[0].split(":")[0]
    if top == "miniworld":
        given = {"obs_height": size[0], "obs_width": size[1], **given}
    if top == "ale_py":  # sticky actions: half of what is done would not be what was asked
        given = {"repeat_action_probability": 0.0, **given}
    inner = _make(env_id, spec, given)
    backend = _backend(inner, size)
    return inner, backend


def _spec(env_id: str) -> Any:
    try:
        module, _, name = env_id.rpartition(":")
        if module:  # Gymnasium's own form: "my_package:MyEnv-v0" imports my_package first
            importlib.import_module(module)
        return gym.spec(name)
    except ImportError as error:
        raise UnknownNameError(f"gym:{env_id}: the module {module!r} cannot be imported: {error}") from error
    except gym.error.Error as error:
        raise UnknownNameError(
            f"Gymnasium has no environment {env_id!r}.{nearest(env_id, gym.registry)} ({error}) An id of your own "
            "package is given with its module: gym:my_package:MyEnv-v0."
        ) from error


def _make(env_id: str, spec: Any, kwargs: Mapping[str, Any]) -> gym.Env[Any, Any]:
    entry = str(spec.entry_point)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # MiniWorld and pygame greet
            env: gym.Env[Any, Any] = gym.make(
                env_id, **{"render_mode": "rgb_array", **kwargs}, disable_env_checker=True
            )
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        command = next((c for start, c in _OWN.items() if entry.startswith(start)), "install what it names")
        raise PrerequisiteError(f"gym:{env_id} cannot start: {error}; run: {command}") from error
    except TypeError as error:
        raise ConfigError(f"gym:{env_id} does not take {dict(kwargs)}: {error}") from error
    except gym.error.Error as error:
        raise ConfigError(f"gym:{env_id} cannot be made: {error}") from error
    except Exception as error:
        raise PrerequisiteError(
            f"gym:{env_id} cannot start: {type(error).__name__}: {error}. If it draws with OpenGL{_GL}."
        ) from error
    return env


def _backend(inner: gym.Env[Any, Any], size: tuple[int, int]) -> Backend:
    for base in type(inner.unwrapped).__mro__:
        for start, target in BACKENDS.items():
            if base.__module__ == start or base.__module__.startswith(start + "."):
                module, _, name = target.partition(":")
                found = importlib.import_module(f"worldsim.envs.gymnasium_adapter.{module}")
                backend: Backend = getattr(found, name)(inner, size)
                return backend
    return Backend(inner, size)
