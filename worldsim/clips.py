"""Pairs of clips, generated and true, as episodes: matched by stem, checked, and read when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.clip_states import Beside, ClipStates, check
from worldsim.errors import StoreError
from worldsim.folders import FIELDS, Facts, Found, Place, inspect, list_clips, open_frames, read_array, read_text
from worldsim.protocols import EpisodeGroup
from worldsim.seeding import hash_seed
from worldsim.types import Episode, Frames, FrameSource, Rollout, Trajectory

SCENARIO = "clips"
FPS = 20.0  # where neither file says; it is shown, and used by no score of frames
_SAME_FPS = 0.01  # relative: containers round
_FAR = 0.1  # mean difference of the last shared frames, 0..1, above which they are hardly the same moment


@dataclass(frozen=True, kw_only=True)
class Options:
    """How clips are paired.

    Attributes:
        context: C, frames at the beginning that the simulator was shown; never scored.
        generated_has_context: False = the generated clips begin after the context; the truth's is put in front.
        fps: The frame rate of all clips; None = what the files say, which must agree.
        allow_shorter: Score the common beginning of clips of different lengths.
        static: Nothing moves by itself in any true clip: where there is no segmentation, it is 0 everywhere.
    """

    context: int = 1
    generated_has_context: bool = True
    fps: float | None = None
    allow_shorter: bool = False
    static: bool = False


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A pair that can be scored.

    Attributes:
        name: The stem.
        generated, truth: Where the frames lie, and what was found there.
        length: Frames of the episode, context included.
        fps: Of both.
        fields: Where each field of the truth lies.
        options: As given.
    """

    name: str
    generated: tuple[Path, Facts]
    truth: tuple[Path, Facts]
    length: int
    fps: float
    fields: Mapping[str, Place] = field(default_factory=dict)
    options: Options = field(default_factory=Options)

    @property
    def world(self) -> int:
        """One clip is one world."""
        return world_of(self.name)

    @property
    def beside(self) -> Beside:
        """What is known of the truth beside its frames."""
        return Beside(
            name=self.name,
            count=self.truth[1].count,
            size=self.truth[1].size,
            length=self.length,
            fps=self.fps,
            fields=self.fields,
            static=self.options.static,
        )

    @property
    def known(self) -> frozenset[str]:
        """What metrics may require."""
        return self.beside.known


def world_of(name: str) -> int:
    """The seed of a clip's world: it follows from the name, so that other clips beside it change nothing."""
    return hash_seed("clip", name)


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Two folders: pairs in order of their names, what is wrong with the other stems, and what should be known."""

    clips: tuple[Clip, ...]
    problems: Mapping[str, str]
    notes: tuple[str, ...]


def match(generated: Path, truth: Path, options: Options) -> Matched:
    """Pairs the clips of two folders by stem and checks each pair.

    Raises:
        StoreError: If a folder is missing or holds no clip, or no stem is in both.
    """
    ours, theirs = list_clips(generated), list_clips(truth)
    problems = {name: f"generated: {said}" for name, said in ours.problems.items()}
    problems |= {name: f"truth: {said}" for name, said in theirs.problems.items()}
    notes = [*ours.notes, *theirs.notes]
    clips = []
    for name in sorted(ours.clips.keys() | theirs.clips.keys()):
        if name in problems:
            continue
        if name not in theirs.clips:
            problems[name] = f"no true clip of this name in {truth}"
        elif name not in ours.clips:
            problems[name] = f"no generated clip of this name in {generated}"
        else:
            try:
                clip, said = _pair(ours.clips[name], theirs.clips[name], options)
            except StoreError as error:
                problems[name] = str(error)
            else:
                clips.append(clip)
                notes += said
    if not ours.clips.keys() & theirs.clips.keys():
        raise StoreError(
            f"no stem is in both folders: {_some(ours.clips)} in {generated}, {_some(theirs.clips)} in {truth}. A "
            "generated clip and its truth must have the same name but for the suffix"
        )
    lossy = sum(clip.truth[1].lossy for clip in clips)
    if lossy:
        notes.append(
            f"{lossy} of {len(clips)} true clips are lossy videos: what their coding lost counts as a difference. "
            ".npz, .png or FFV1 lose nothing"
        )
    return Matched(clips=tuple(clips), problems=dict(sorted(problems.items())), notes=tuple(notes))


def _some(names: Mapping[str, Any]) -> str:
    known = sorted(names)
    return ", ".join(known[:3]) + (" ..." if len(known) > 3 else "") if known else "none"


def _pair(ours: Found, theirs: Found, options: Options) -> tuple[Clip, list[str]]:
    """A checked pair and its notes. Raises StoreError saying what is wrong."""
    mine, true = inspect(ours.frames), inspect(theirs.frames)
    if mine.size != true.size:
        raise StoreError(
            f"the generated frames are {mine.size[0]}x{mine.size[1]}, the true ones {true.size[0]}x{true.size[1]}: "
            "bring them to one size yourself, for scores depend on how"
        )
    missing = 0 if options.generated_has_context else options.context
    lengths = mine.count + missing, true.count
    if lengths[0] != lengths[1] and not options.allow_shorter:
        hint = ""
        if options.generated_has_context and lengths[0] + options.context == lengths[1]:
            hint = ", --no-generated-has-context if the generated clips begin after the context"
        raise StoreError(
            f"{mine.count} generated frames{f' after a context of {missing}' if missing else ''} and {true.count} true "
            f"ones: cut them to one length, or give --allow-shorter to score the common beginning{hint}"
        )
    length = min(lengths)
    if length <= max(options.context, 1):
        raise StoreError(f"{length} frame(s) and a context of {options.context}: no predicted frame is left to score")
    notes = []
    if ours.fields.keys() & (FIELDS.keys() - theirs.fields.keys()):
        beside = ", ".join(sorted(ours.fields.keys() - theirs.fields.keys()))
        notes.append(f"{ours.name}: {beside} beside the generated clip is not read; it belongs beside the true one")
    fps = options.fps or _fps(_rate(ours, mine), _rate(theirs, true))
    clip = Clip(
        name=ours.name,
        generated=(ours.frames, mine),
        truth=(theirs.frames, true),
        length=length,
        fps=fps,
        fields={name: place for name, place in theirs.fields.items() if name in FIELDS},
        options=options,
    )
    notes += check(clip.beside)
    if options.context and options.generated_has_context:
        last = options.context - 1
        frames = (np.asarray(open_frames(*side)[last], np.float64) for side in (clip.generated, clip.truth))
        apart = float(np.mean(np.abs(next(frames) - next(frames)))) / 255
        if apart > _FAR:
            notes.append(
                f"{ours.name}: the last frame of the context differs by {apart:.2f} of 1 on average: do both clips "
                "begin at the same moment?"
            )
    return clip, notes


def _rate(found: Found, facts: Facts) -> float | None:
    if "fps" not in found.fields:
        return facts.fps
    value = np.asarray(read_array(found.fields["fps"]))
    if value.size != 1 or value.dtype.kind not in "iuf" or not 0 < float(value.reshape(())) < 10_000:
        raise StoreError(f"{found.fields['fps'][0]}: fps must be one number of frames a second, got {value!r}")
    return float(value.reshape(()))


def _fps(ours: float | None, theirs: float | None) -> float:
    if ours is None or theirs is None:
        return theirs or ours or FPS
    if abs(ours - theirs) > _SAME_FPS * theirs:
        raise StoreError(
            f"{ours:g} frames a second generated, {theirs:g} true: the same index is not the same moment. Resample one "
            "of them, or give --fps if the files are wrong"
        )
    return theirs


# -------------------------------------------------------------------------------------------------------- episodes


class _Stretch:
    """The first `length` frames of a source, behind those of `front`."""

    def __init__(self, source: FrameSource, length: int, front: Frames) -> None:
        self._source, self._length, self._front = source, length, front

    @property
    def shape(self) -> tuple[int, ...]:
        return (self._length, *self._source.shape[1:])

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: Any, /) -> Frames:
        if isinstance(key, slice):
            frames = [self[t] for t in range(*key.indices(self._length))]
            return np.stack(frames) if frames else np.empty((0, *self.shape[1:]), np.uint8)
        t = range(self._length)[key]
        n = len(self._front)
        frame: Frames = self._front[t] if t < n else np.asarray(self._source[t - n])
        return frame


def load(data: tuple[Clip, Clip | None]) -> EpisodeGroup:
    """The episode of a clip; the second clip is the other world of its null "other-episode".

    Raises:
        StoreError: If the files are no longer what they were.
    """
    clip, other = data
    true = _true_frames(clip)
    nothing = true[:0]
    front = nothing if clip.options.generated_has_context else true[: clip.options.context]
    shown = _Stretch(open_frames(*clip.generated), clip.length, front)
    actions: Any = np.zeros((clip.length - 1, 0), np.float32)
    if "actions" in clip.fields:
        actions = np.array(read_array(clip.fields["actions"])[: clip.length - 1])
    states = ClipStates(clip.beside) if clip.known - {"actions", "prompts", "worlds"} else None
    prompt = read_text(clip.fields["prompts"]) if "prompts" in clip.fields else ""
    shown_for = ((0, prompt),) if prompt else ()
    episode = Episode(
        id=clip.name,
        scenario=SCENARIO,
        world_seed=clip.world,
        context_length=clip.options.context,
        truth=Trajectory(frames=true, actions=actions, states=states, fps=clip.fps),
        generated=(Rollout(trajectory=Trajectory(frames=shown, actions=actions, fps=clip.fps), prompts=shown_for),),
        pair_id=clip.name,
        prompt=prompt,
        other=None if other is None else _true_frames(other),
    )
    return (episode,)


def _true_frames(clip: Clip) -> FrameSource:
    source = open_frames(*clip.truth)
    return _Stretch(source, clip.length, np.empty((0, *source.shape[1:]), np.uint8))
