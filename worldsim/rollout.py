"""The lockstep engine: truth and world model get the same actions at the same steps, and everything is recorded.

One call of `roll_group` carries a batch of episodes of one scenario from reset to commit. Three things overlap: the
truths are stepped ahead in a thread (when the controller acts on the truth's frames), the model predicts, and a
background thread encodes. Memory does not depend on the horizon: only the context's length of frames is kept.

Rows. A batch of B episodes with K samples and A arms gives B x A x K rows of the model's batch. Where the model takes
fewer rows at once, the rows are split into passes; later passes step the (deterministic) truths again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from worldsim import seeding
from worldsim.background import Background, TimedCaller
from worldsim.episode_io import EpisodeWriter, RolloutKey
from worldsim.errors import WorldFailure
from worldsim.lane import TruthLane
from worldsim.lockstep import Pass, Row
from worldsim.protocols import TruthEnv, WorldModel
from worldsim.store import RunStore, writing
from worldsim.truth_side import Settings, Timeline
from worldsim.types import Scenario

_QUEUE_BYTES = 64_000_000  # frames that may wait to be encoded


def rows_of(lanes: Sequence[TruthLane], settings: Settings, limit: int | None) -> list[list[Row]]:
    """The rows of a batch, split into passes of at most `limit` rows (None = no limit)."""
    rows = [
        Row(lane=i, key=RolloutKey(arm=arm, sample=k, seed=seeding.hash_seed("sample", lane.planned.model_seed, k)))
        for arm in settings.arms
        for k in range(settings.samples)
        for i, lane in enumerate(lanes)
    ]
    size = limit or len(rows)
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def roll_group(
    lanes: Sequence[TruthLane],
    model: WorldModel,
    scenario: Scenario,
    store: RunStore,
    settings: Settings,
    *,
    make_env: Callable[[], TruthEnv],
    prompts: Callable[[TruthLane], Timeline],
    call: TimedCaller,
    progress: Callable[[int], None] = lambda steps: None,
    committed: AbstractSet[str] = frozenset(),
) -> None:
    """Rolls out and commits a batch of episodes of one scenario.

    Args:
        lanes: One a planned episode; their environments may be reused between calls.
        model: The world model; called only through `call`.
        scenario: Context length and horizon.
        store: Where episodes are committed.
        settings: See `Settings`.
        make_env: Builds another truth, for models that look at it.
        prompts: The prompt timeline of a lane that was reset: (step, text) pairs, the first at step 0.
        call: The model's thread; the loop runs in it.
        progress: Called with the number of episode steps that were done.
        committed: Episodes that are part of the run already: rolled out again with their batch, but not written again.

    Raises:
        WorldFailure: If a world raised, hung, or broke its contract; nothing of the batch is committed.
        StoreError: If the disk is full or not writable.
    """
    started = time.perf_counter()
    pixels = settings.size[0] * settings.size[1]
    encoder = Background(limit=min(max(_QUEUE_BYTES // (11 * pixels), 16), 512))  # RGB, depth and ids: 11 bytes a pixel
    writers: list[EpisodeWriter] = []
    passes = rows_of(lanes, settings, model.spec.max_batch)
    if len(passes) > 1 and not lanes[0].env.abilities.deterministic:
        raise WorldFailure(
            f"{model.spec.name} takes {model.spec.max_batch} worlds at once, and this truth cannot be repeated for the "
            f"other {len(passes[0])} rows: lower --batch and --samples so that one pass is enough"
        )
    try:
        keys = [[row.key for rows in passes for row in rows if row.lane == i] for i in range(len(lanes))]
        for lane, lane_keys in zip(lanes, keys, strict=True):
            provenance = {
                **settings.provenance,
                "scenario": scenario.name,
                "world_seed": lane.planned.world_seed,
                "prompt": scenario.prompts[0][1] if scenario.prompts else "",
                "seed": lane_keys[0].seed,
            }
            writers.append(
                store.begin(
                    lane.planned.episode,
                    size=settings.size,
                    fps=settings.fps,
                    rollouts=lane_keys,
                    provenance=provenance,
                )
            )
        timelines: list[Timeline] = []
        for number, rows in enumerate(passes):
            roll = Pass(
                lanes,
                rows,
                model,
                scenario,
                settings,
                encoder=encoder,
                writers=writers,
                make_env=make_env,
                prompts=prompts,
                call=call,
                record_truth=number == 0,
            )
            call.supervise(roll.run, progress if number == 0 else lambda steps: None)
            timelines = roll.timelines
        for writer, lane in zip(writers, lanes, strict=True):
            encoder.submit(writer.finish, lane.snapshots)
        with writing(store.path):
            encoder.flush()
        seconds = (time.perf_counter() - started) / len(lanes)
        for lane, writer, lane_keys, timeline in zip(lanes, writers, keys, timelines, strict=True):
            if lane.planned.episode in committed:
                store.discard(writer)
            else:
                _commit(store, lane, writer, lane_keys, timeline, settings, seconds)
    except BaseException as error:
        encoder.close()
        for writer in writers:
            store.discard(writer)
        if isinstance(error, OSError):
            with writing(store.path):
                raise
        raise
    encoder.close()


def _commit(
    store: RunStore,
    lane: TruthLane,
    writer: EpisodeWriter,
    keys: Sequence[RolloutKey],
    timeline: Timeline,
    settings: Settings,
    seconds: float,
) -> None:
    p = lane.planned
    reason = lane.aborted
    row = {
        **episode_row(lane, "aborted" if reason else "done", reason),
        "steps": lane.t,
        "fps": settings.fps,
        "size": list(settings.size),
        "rollouts": [{"arm": k.arm, "sample": k.sample, "seed": k.seed} for k in keys],
        "marks": [{"name": m.name, "frame": m.frame} for m in lane.marks],
        "focus": lane.focus,
        "ended": lane.ended,
        "end_reason": lane.end_reason,
        "prompts": [[t, text] for t, text in timeline],
        "dynamics_seed": p.dynamics_seed,
        "seconds": round(seconds, 3),
    }
    if reason:
        store.discard(writer)
        store.commit(row, None)
    else:
        store.commit(row, writer)


def episode_row(lane: TruthLane, status: str, reason: str | None) -> dict[str, Any]:
    """The keys that every committed line has, whatever became of the episode."""
    p = lane.planned
    return {
        "episode": p.episode,
        "scenario": p.scenario,
        "variant": p.variant,
        "label": p.label,
        "pair_id": p.pair_id,
        "world_seed": p.world_seed,
        "status": status,
        "reason": reason,
        "context": lane.scenario.context,
        "horizon": lane.scenario.horizon,
    }
