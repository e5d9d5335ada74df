"""Episodes that `worldsim train` plays while it trains, in a process of low priority, in place of old ones.

They are the continuation of the dataset: it was collected from a sequence of episodes without end, of which it holds
the first E; the fresh ones are those from E on, played by the same settings. So their worlds are of the training split,
and none comes twice.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing as mp
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from worldsim import dataset as store
from worldsim.arrays import storing
from worldsim.collect import CollectConfig, Play, Player, plays
from worldsim.collect_workers import play, portable
from worldsim.errors import ConfigError, WorldFailure
from worldsim.recording import Recording
from worldsim.score_workers import cause, one_thread

if TYPE_CHECKING:
    from worldsim.model.codec.network import VideoCodec
    from worldsim.model.training.fresh import FreshLatents
    from worldsim.model.training.latents import LatentRecording
    from worldsim.train import Training
    from worldsim.train_data import DataSets

#: Added to the niceness of the process that plays: it takes what the training leaves.
NICE = 19


@dataclass(frozen=True, kw_only=True)
class FreshPlay:
    """How the fresh episodes of one set are played.

    Attributes:
        config: The dataset's own settings.
        scripts: Its ways to play.
        first: Index of the first fresh episode, E.
        count: Episodes in a refresh.
    """

    config: CollectConfig
    scripts: tuple[Play, ...]
    first: int
    count: int

    def indices(self, refresh: int) -> range:
        """The episodes of a refresh, from 1 on."""
        start = self.first + (refresh - 1) * self.count
        return range(start, start + self.count)


def fresh_plays(data: DataSets, counts: Sequence[int]) -> tuple[FreshPlay, ...]:
    """How the datasets go on of which a refresh replaces some episodes.

    Args:
        data: The datasets.
        counts: Episodes in a refresh, for each training set; 0 = none.

    Raises:
        ConfigError: If a dataset does not say how it was collected, or is not of training worlds, or if the number
            does not fit it.
    """
    from worldsim.model.plain import from_plain
    from worldsim.model.training.fresh import check_count

    out = []
    for folder, count in zip(data.train, counts, strict=True):
        if not count:
            continue
        info = store.read_info(folder)
        if not info.recipe:
            raise ConfigError(
                f"{folder} was not made by `worldsim collect`, so nobody can play more of it: train without fresh "
                "episodes (data.N.fresh=0)"
            )
        if info.split != "train":
            raise ConfigError(f"fresh episodes are of training worlds, but {folder} is of the split {info.split!r}")
        check_count(info.episodes, count)
        config = from_plain(CollectConfig, info.recipe, f"{folder / store.INDEX}: recipe")
        config = replace(config, shard=count)  # a refresh lies in memory as a shard does: this checks its size
        out.append(FreshPlay(config=config, scripts=plays(config), first=info.episodes, count=count))
    return tuple(out)


class FreshPlayer:
    """One process that plays a refresh at a time, ahead of the training; see `worldsim.model.training.fresh.Player`.

    It holds what it played until it is taken, so it is never more than one refresh ahead.
    """

    def __init__(self, sets: Sequence[FreshPlay]) -> None:
        """Nothing is started yet."""
        self._job = pickle.dumps(tuple(sets))
        self._process: Any = None
        self._pipe: Any = None
        self._playing: int | None = None

    def begin(self, refresh: int) -> None:
        """See `Player`."""
        if self._playing is None:
            if self._process is None:
                self._start()
            self._playing = refresh
            with contextlib.suppress(OSError):  # it is dead: `take` finds out
                self._pipe.send(refresh)

    def take(self, refresh: int) -> Sequence[Recording]:
        """See `Player`. A process that died is started once more.

        Raises:
            WorldFailure: If an episode cannot be played, or the process dies again.
        """
        if self._playing != refresh:
            self.close()
        for attempt in range(2):
            self.begin(refresh)
            try:
                error, recordings = self._pipe.recv()
            except (EOFError, OSError) as end:
                self._process.join(5.0)  # the exit code is known only then
                code = self._process.exitcode
                self.close()
                if attempt:
                    raise WorldFailure(
                        f"the process that plays fresh episodes {cause(code)}, twice. Run the same command again; if "
                        "memory is short, with fewer of them (--set data.0.fresh=...)"
                    ) from end
                continue
            self._playing = None
            if error is not None:
                raise error
            found: Sequence[Recording] = recordings
            return found
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Ends the process at once; what it was playing can be played again."""
        if self._process is not None:
            self._process.kill()
            self._process.join(5.0)
            self._pipe.close()
        self._process = self._pipe = self._playing = None

    def _start(self) -> None:
        context = mp.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._job), daemon=True)
        with one_thread():
            self._process.start()
        theirs.close()


def _serve(pipe: Any, job: bytes) -> None:
    """The child: answers the number of a refresh with (error, recordings)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends us
    if hasattr(os, "nice"):
        os.nice(NICE)
    try:
        sets = pickle.loads(job)
        while True:
            refresh = pipe.recv()
            pipe.send((None, [_played(one, refresh) for one in sets]))
    except (EOFError, OSError):
        return  # the parent is gone
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send((portable(error), None))


def _played(one: FreshPlay, refresh: int) -> Recording:
    def check(episodes: int) -> None:
        parent = mp.parent_process()
        if parent is not None and not parent.is_alive():
            raise EOFError("the training was killed")

    with contextlib.closing(Player()) as player:
        return play(player.record, one.config, one.scripts, one.indices(refresh), check)


@contextlib.contextmanager
def fresh_latents(
    job: Training, codec: VideoCodec, latents: Sequence[LatentRecording]
) -> Iterator[FreshLatents | None]:
    """The sets of a training whose recipe asks for fresh episodes; None if it asks for none.

    In the first process of several the episodes are played and encoded; the others read what it wrote. Each refresh
    leaves a line in `<out>/dit/fresh.jsonl`: its number, the seconds of waiting and those of encoding.
    """
    from worldsim.model.training.fresh import FreshLatents, FreshSet
    from worldsim.model.training.latent_store import latents_folder
    from worldsim.model.training.latents import encode

    recipe = job.recipe
    counts = [data.fresh for data in recipe.data]
    if not any(counts):
        yield None
        return
    space, patch = dict(recipe.dit.action_space), recipe.dit.patch
    sets = [
        FreshSet(base=base, count=count, place=latents_folder(codec, folder, patch, job.out / "latents") / "fresh")
        for folder, base, count in zip(job.data.train, latents, counts, strict=True)
    ]
    player = FreshPlayer(fresh_plays(job.data, counts)) if job.workers.main else None
    log = job.out / "dit" / "fresh.jsonl"

    def told(refresh: int, waited: float, encoded: float) -> None:
        row = {"refresh": refresh, "waited": round(waited, 3), "encoded": round(encoded, 3)}
        with storing(log, again="run the same command again"):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    source = FreshLatents(
        sets,
        every=recipe.refresh,
        steps=recipe.dit_training.steps,
        player=player,
        encode=lambda recording: encode(codec, recording, space, patch),
        told=told,
    )
    try:
        yield source
    finally:
        if player is not None:
            player.close()
            if source.made:
                job.say(
                    f"fresh episodes: {source.made} refreshes of {sum(counts)}; waited {source.waited:.1f} s for them, "
                    f"encoded them in {source.encoded:.1f} s"
                )
