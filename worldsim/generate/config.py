"""What `worldsim generate` is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.generate.scripts import MOST

Mode: TypeAlias = Literal["text", "image", "extend", "backward", "loop", "join", "storyboard"]
#: What each mode must be given, beside what all may be.
NEEDS: Final[Mapping[Mode, tuple[str, ...]]] = {
    "text": (),
    "image": ("image",),
    "extend": ("clip",),
    "backward": ("clip",),
    "loop": (),
    "join": ("clip", "clip2"),
    "storyboard": (),
}
TAKES: Final[Mapping[Mode, tuple[str, ...]]] = {
    **NEEDS,
    "loop": ("clip", "image"),
    "storyboard": ("storyboard", "image"),
}


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Settings of `worldsim generate`.

    Attributes:
        checkpoint: Name of a bundled one, or a folder.
        mode: What is known of the clip, and what is made.
        prompt: Words; of a storyboard that is split from it, too.
        image: A picture to begin with.
        clip: The clip that is gone on with, begun, closed, or joined.
        clip2: The clip that is joined to it.
        storyboard: YAML file.
        frames: How many the model makes; loop and join make `gap`, and a storyboard says it itself.
        gap: Frames between two ends.
        size: (H, W); None = that of what is given, else the checkpoint's own.
        actions: A script, or an .npz, of what is done while frames are made; "" = nothing, and in a gap what leads
            there best.
        search: Action sequences that are tried in a gap.
        steps: Denoising steps; None = the checkpoint's.
        guidance: 1 = off; larger = follow the prompt more.
        seed: Everything random follows from it.
        samples: Clips that are made.
        best_of: Of so many the one of which the model is surest is kept, for each sample.
        expand: "grammar", "none", or a command that writes a caption.
        device: Where.
        threads: Of torch, on a CPU.
    """

    checkpoint: str = "tiny"
    mode: Mode = "text"
    prompt: str = ""
    image: Path | None = None
    clip: Path | None = None
    clip2: Path | None = None
    storyboard: Path | None = None
    frames: int = 64
    gap: int = 8
    size: tuple[int, int] | None = None
    actions: str = ""
    search: int = 32
    steps: int | None = None
    guidance: float = 2.0
    seed: int = 0
    samples: int = 4
    best_of: int = 1
    expand: str = "grammar"
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.mode not in NEEDS:
            known = get_args(Mode)
            raise UnknownNameError(f"no mode is called {self.mode!r}.{nearest(self.mode, known)} {', '.join(known)}.")
        for name, most in (("frames", MOST), ("gap", MOST), ("samples", 4096), ("best_of", 256), ("search", 4096)):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must be in 1..{most}, got {getattr(self, name)}")
        if not 0 <= self.guidance <= 100:
            raise ConfigError(f"guidance must be in 0..100 (1 = off), got {self.guidance}")
        for name in ("image", "clip", "clip2", "storyboard"):
            given = getattr(self, name) is not None
            if given and name not in TAKES[self.mode]:
                raise ConfigError(f"mode {self.mode} uses no --{name}: leave it out, or choose another --mode")
            if not given and name in NEEDS[self.mode]:
                raise ConfigError(f"mode {self.mode} needs --{name} FILE")
        if self.mode == "loop" and self.clip and self.image:
            raise ConfigError("a loop is made of a clip or begins with a picture: give --clip or --image")
        if self.mode == "storyboard" and bool(self.storyboard) == bool(self.prompt):
            raise ConfigError("mode storyboard needs either --storyboard FILE or a --prompt that is split into scenes")
