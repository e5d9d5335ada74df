"""The engine as a process: started with one map, led tic by tic, read after a tic. Only this module knows ViZDoom.

What the engine shows is wide and level (see `camera`); nothing here knows of metres.
"""

from __future__ import annotations

import math
import shlex
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.doom.kinds import PLAYER
from worldsim.envs.doom.units import FULL_TURN
from worldsim.envs.doom.wad import read_wad
from worldsim.errors import PrerequisiteError, WorldFailure

TICS: Final = 35  # a second
FIELD_OF_VIEW: Final = 130  # degrees across a 4:3 picture; so wide that every pinhole view within it can be cut out
WARM_UP: Final = 48  # tics: the view widens by 7 degrees a tic, the weapon comes up, the player may move after 18
QUANTUM: Final = 360.0 / FULL_TURN  # degrees; the engine's angles are multiples of it
MAX_TILT: Final = 30.0  # degrees; its software renderer stops at 32 upwards
_VARIABLES: Final = 16  # of the scripts, that are read

#: Sizes of the engine's own picture, (height, width), 4:3.
_SIZES: Final = ((120, 160), (240, 320), (480, 640), (600, 800), (960, 1280))


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A thing in the engine's list: its number there, class, whether it is dead, (x, y, z) in map units."""

    number: int
    actor: str
    dead: bool
    place: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The engine after a tic.

    Attributes:
        rgb: (h, w, 3) uint8, the engine's own picture.
        labels: (h, w) uint8: 0 walls, 1 floors and ceilings, else `label_numbers`.
        label_numbers: Label -> number of the thing.
        depth: (h, w) uint8, the engine's coarse depth, or None where it was not asked for.
        eye: (x, y, z) of the camera, map units.
        angle, pitch: Degrees; counter-clockwise from east, positive down.
        field_of_view: Degrees.
        things: All but the player.
        ceilings: Of the sectors, map units.
        variables: Global variables 1, 2, ... of the scripts.
    """

    rgb: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    label_numbers: dict[int, int]
    depth: NDArray[np.uint8] | None
    eye: tuple[float, float, float]
    angle: float
    pitch: float
    field_of_view: float
    things: tuple[Seen, ...]
    ceilings: tuple[float, ...]
    variables: tuple[int, ...]


def picture_size(focal: float) -> tuple[int, int]:
    """(h, w): the smallest picture of the engine that is at least 1.5 times as fine as a focal length in pixels."""
    per_width = 0.5 / math.tan(math.radians(FIELD_OF_VIEW) / 2)
    return next((size for size in _SIZES if size[1] * per_width >= 1.5 * focal), _SIZES[-1])


class Engine:
    """One ViZDoom process that plays one map. It may be closed twice."""

    def __init__(self, wad: bytes, *, seed: int, size: tuple[int, int], depth: bool = False) -> None:
        """Starts the process; `begin` starts a game.

        Args:
            wad: The map.
            seed: Of everything random in the game.
            size: (h, w) of its picture, one of `picture_size`.
            depth: Read the coarse depth, too.

        Raises:
            PrerequisiteError: If ViZDoom is not installed.
            ConfigError: If the map is damaged.
            WorldFailure: If the process does not start.
        """
        self._vizdoom: Any = load()
        read_wad(wad)
        self._folder = tempfile.TemporaryDirectory(prefix="worldsim-doom-")
        self._game: Any = self._vizdoom.DoomGame()
        # Also when nobody closes it; before the folder goes, into which the engine writes its settings at its end.
        self._end = weakref.finalize(self, _end, self._game, self._folder)
        path = Path(self._folder.name) / "world.wad"
        path.write_bytes(wad)
        try:
            self._set(path, seed, size, depth)
            self._game.init()
        except Exception as error:
            self.close()
            raise WorldFailure(f"ViZDoom did not start: {type(error).__name__}: {error}") from error

    def _set(self, path: Path, seed: int, size: tuple[int, int], depth: bool) -> None:
        game, v = self._game, self._vizdoom
        game.set_doom_config_path(str(path.parent / "engine.ini"))
        if (starter := _starter(path.parent, Path(v.__file__).parent / "vizdoom")) is not None:
            game.set_vizdoom_path(str(starter))
        game.set_doom_scenario_path(str(path))
        game.set_doom_map("MAP01")
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_console_enabled(False)
        game.set_mode(v.Mode.PLAYER)
        game.set_screen_format(v.ScreenFormat.RGB24)
        game.set_screen_resolution(getattr(v.ScreenResolution, f"RES_{size[1]}X{size[0]}"))
        game.set_labels_buffer_enabled(True)
        game.set_depth_buffer_enabled(depth)
        game.set_objects_info_enabled(True)
        game.set_sectors_info_enabled(True)
        for part in ("hud", "weapon", "crosshair", "messages", "screen_flashes", "particles", "effects_sprites"):
            getattr(game, f"set_render_{part}")(False)
        game.set_render_decals(True)
        button, variable = v.Button, v.GameVariable
        game.set_available_buttons(
            [
                button.MOVE_FORWARD_BACKWARD_DELTA,
                button.MOVE_LEFT_RIGHT_DELTA,
                button.TURN_LEFT_RIGHT_DELTA,
                button.LOOK_UP_DOWN_DELTA,
                button.USE,
                button.ATTACK,
            ]
        )
        camera = [
            getattr(variable, f"CAMERA_{n}")
            for n in ("POSITION_X", "POSITION_Y", "POSITION_Z", "ANGLE", "PITCH", "FOV")
        ]
        game.set_available_game_variables(camera + [getattr(variable, f"USER{i}") for i in range(1, _VARIABLES + 1)])
        game.set_episode_timeout(0)
        game.set_episode_start_time(1)
        game.set_seed(seed % 2**32)

    def begin(self, seed: int, commands: Sequence[str] = ()) -> Reading:
        """Starts the game anew and lets it warm up; `commands` are carried out in the last tic of that."""
        try:
            self._game.set_seed(seed % 2**32)
            self._game.new_episode()
            for command in (f"fov {FIELD_OF_VIEW}", "movebob 0", "stillbob 0"):
                self._game.send_game_command(command)
            self._game.set_action([0] * 6)
            self._game.advance_action(WARM_UP - 1, False)
        except Exception as error:
            raise self._failure(error) from error
        self.tic([0] * 6, commands, draw=True)
        return self.read()

    def tic(self, buttons: Sequence[float], commands: Sequence[str] = (), *, draw: bool) -> None:
        """One tic: forward, right (units of the engine), turn right, look up (degrees), use, attack (0 or 1).

        Args:
            buttons: The six.
            commands: Of the console, carried out in this tic.
            draw: The state can be read afterwards.
        """
        try:
            for command in commands:
                self._game.send_game_command(command)
            self._game.set_action(list(buttons))
            self._game.advance_action(1, draw)
        except Exception as error:
            raise self._failure(error) from error

    def read(self) -> Reading:
        """The state after a tic that was drawn."""
        try:
            state = self._game.get_state()
        except Exception as error:
            raise self._failure(error) from error
        if state is None:
            raise WorldFailure("Doom has no state to show: the episode has ended; call reset")
        values = state.game_variables
        return Reading(
            rgb=state.screen_buffer,
            labels=state.labels_buffer,
            label_numbers={int(label.value): int(label.object_id) for label in state.labels},
            depth=state.depth_buffer,
            eye=(float(values[0]), float(values[1]), float(values[2])),
            angle=float(values[3]),
            pitch=float(values[4]),
            field_of_view=float(values[5]),
            things=tuple(
                Seen(
                    number=int(item.id),
                    actor=item.name.removeprefix("Dead"),
                    dead=item.name.startswith("Dead"),
                    place=(float(item.position_x), float(item.position_y), float(item.position_z)),
                )
                for item in state.objects
                if item.name != PLAYER
            ),
            ceilings=tuple(float(sector.ceiling_height) for sector in state.sectors),
            variables=tuple(round(float(value)) for value in values[6:]),
        )

    def close(self) -> None:
        """Ends the process and removes its files."""
        self._end()

    def _failure(self, error: Exception) -> WorldFailure:
        return WorldFailure(
            f"the engine of Doom stopped: {type(error).__name__}: {error}. The next reset or restore starts a new one."
        )


def _end(game: Any, folder: tempfile.TemporaryDirectory[str]) -> None:
    game.close()
    folder.cleanup()


def _starter(folder: Path, engine: Path) -> Path | None:
    """A script that starts the engine so that it ends with us, also when we are killed: else it would wait for ever.

    None where `setpriv` (util-linux 2.33 or later) is missing.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or not engine.is_file():
        return None
    script = folder / "start.sh"
    command = f"exec {shlex.quote(setpriv)} --pdeathsig KILL -- {shlex.quote(str(engine))}"
    script.write_text(f'#!/bin/sh\n{command} "$@"\n')
    script.chmod(0o700)
    return script


def load() -> Any:
    """The package `vizdoom`, or a PrerequisiteError that says how to get it."""
    try:
        import vizdoom
    except ImportError as error:
        raise PrerequisiteError(
            f"worldsim/Doom-v0 needs the package vizdoom ({error}): pip install 'worldsim[vizdoom]'"
        ) from error
    return vizdoom
