"""worldsim/Minecraft-v0: is a random run the same to the bit in other processes, and how fast is it?

    python benchmarks/minecraft.py                       # 1,000 steps in three processes, then the speed
    python benchmarks/minecraft.py --picture docs/images/minecraft.png

Prints hashes over frames, depth, ids, poses and objects, whether client and server agree, and milliseconds a step
with the load of the machine. The picture holds blocks and creatures drawn by this project only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from pathlib import Path

import numpy as np

from worldsim.envs.actions import noop
from worldsim.envs.minecraft.env import MinecraftEnv
from worldsim.truth import SetPose

CHANCES = {"forward": 0.7, "jump": 0.3, "sprint": 0.2, "left": 0.1, "use": 0.05, "attack": 0.05, "hotbar.3": 0.05}


def random_actions(space, steps: int, seed: int = 0):
    """Walking, jumping, sprinting, turning, digging, placing."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        keys = {key: int(rng.random() < p) for key, p in CHANCES.items()}
        yield noop(space) | keys | {"camera": rng.normal((0.1, 0.0), (3.0, 9.0)).astype(np.float32)}


def digest(preset: str, steps: int) -> str:
    """The hash of a random run in a Node process of its own; with every 50 steps a comparison of both sides."""
    env = MinecraftEnv(preset=preset, wander=True, size=(128, 128), timeout=600)
    out, checks, events = hashlib.sha256(), 0, {}
    env.reset(seed=7)
    for t, action in enumerate(random_actions(env.action_space, steps)):
        frame = env.step(action)[0]
        truth = env.truth()
        for array in (frame, truth.depth, truth.segmentation, truth.world_from_camera):
            out.update(np.ascontiguousarray(array).tobytes())
        out.update(repr([(o.id, o.kind, o.position.tolist(), o.exists) for o in truth.objects]).encode())
        for event in truth.events:
            events[event.kind] = events.get(event.kind, 0) + 1
        if t % 50 == 49:
            both = env.verify()
            assert not both["differ"] and not both["astray"] and both["apart"] == 0, both
            checks += 1
    memory = env.verify()["memory"] / 1e6
    env.close()
    print(f"  {out.hexdigest()[:16]}  sides equal {checks} times, {events}, Node holds {memory:.0f} MB", flush=True)
    return out.hexdigest()


def replay(preset: str) -> None:
    """A snapshot with creatures, played on in place and in another process."""
    actions, futures, state = None, [], None
    for where in ("here", "here again", "in another process"):
        if where != "here again":
            env = MinecraftEnv(preset=preset, wander=True, size=(128, 128), timeout=600)
        if state is None:
            env.reset(seed=11)
            for action in random_actions(env.action_space, 60, seed=1):
                env.step(action)
            state = env.snapshot()
            actions = list(random_actions(env.action_space, 100, seed=2))
        else:
            env.restore(state)
        out = hashlib.sha256()
        for action in actions:
            out.update(env.step(action)[0].tobytes())
            out.update(repr([o.position.tolist() for o in env.truth().objects]).encode())
        futures.append(out.hexdigest()[:16])
        if where != "here":
            env.close()
    print(f"  {preset}: {' '.join(futures)} {'equal' if len(set(futures)) == 1 else 'DIFFERENT'}", flush=True)


def speed(preset: str, steps: int, senses: bool, **kwargs) -> None:
    """Milliseconds a step of a walk."""
    env = MinecraftEnv(preset=preset, size=(128, 128), timeout=600, **kwargs)
    began = time.perf_counter()
    env.reset(seed=3)
    start = time.perf_counter() - began
    times = []
    for action in random_actions(env.action_space, steps):
        began = time.perf_counter()
        env.step(action)
        if senses:
            env.truth()
        times.append(time.perf_counter() - began)
    env.close()
    ms = 1e3 * np.array(times[5:])
    print(
        f"  {preset:6} {'frame and truth' if senses else 'frame':15} {1e3 / ms.mean():6.0f} frames/s; "
        f"mean {ms.mean():.1f}, median {np.median(ms):.1f}, p95 {np.percentile(ms, 95):.1f} ms; start {start:.1f} s; "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        flush=True,
    )


def picture(path: Path) -> None:
    """Two worlds with depth and ids, and a block placed, in a row."""
    import cv2

    tiles = []
    for preset, seed in (("court", 5), ("hills", 3)):
        env = MinecraftEnv(preset=preset, size=(128, 128), timeout=600, creatures=8)
        env.reset(seed=seed)
        x, y, z = env.truth().world_from_camera[:3, 3] - (0, 1.62, 0)
        best = max(range(-180, 180, 15), key=lambda yaw: _seen(env, (x, y, z), yaw))
        env.edit(SetPose(position=(float(x), float(y), float(z)), yaw=float(best), pitch=10.0))
        frame, truth = env.render_from(supersample=4)
        near = np.clip(1.0 - truth.depth / 30.0, 0.0, 1.0)
        depth = np.repeat((255 * near).astype(np.uint8)[..., None], 3, axis=2)
        hue = np.random.default_rng(1).integers(60, 256, (256, 3), dtype=np.uint8)
        hue[0] = 30
        tiles += [frame, depth, hue[truth.segmentation]]
        env.close()
    strip = np.concatenate([np.kron(t, np.ones((2, 2, 1), np.uint8)) for t in tiles], axis=1)
    rows = np.concatenate(np.split(strip, 2, axis=1), axis=0)
    cv2.imwrite(str(path), rows[..., ::-1])
    print(f"  wrote {path} {rows.shape}")


def _seen(env: MinecraftEnv, place, yaw: int) -> int:
    env.edit(SetPose(position=tuple(map(float, place)), yaw=float(yaw), pitch=10.0))
    return sum(min(o.visible_px, 400) for o in env.truth().objects)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--preset", default="court")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--only", choices=("same", "replay", "speed"))
    given = parser.parse_args()
    if given.picture:
        picture(given.picture)
        return
    if given.only in (None, "same"):
        print(f"{given.steps} random steps of {given.preset}, {given.processes} processes:")
        found = {digest(given.preset, given.steps) for _ in range(given.processes)}
        print("  all the same to the bit" if len(found) == 1 else "  DIFFERENT")
    if given.only in (None, "replay"):
        print("a snapshot after 60 steps, 100 steps played on from it:")
        for preset in ("court", "hills"):
            replay(preset)
    if given.only in (None, "speed"):
        print("speed at 128x128:")
        for preset in ("flat", "court", "hills"):
            for senses in (False, True):
                speed(preset, 300, senses)


if __name__ == "__main__":
    main()
