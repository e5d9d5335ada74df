"""A stand-in for `minerl`: tasks in the shape of 0.4.4 and 1.0, an invented picture, and every fault there is.

The world is a strip of coloured posts around the player: yaw scrolls it, pitch shifts it, walking makes it larger.
"""

import os
import subprocess
import sys
import time

import gym
import numpy as np
from gym.spaces import Box, Dict, Discrete, Enum, Text

__version__ = "0.0-fake"

SIMPLE = ("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint")
HUMAN = (*SIMPLE, "ESC", "drop", "inventory", "pickItem", "swapHands", "use", *(f"hotbar.{i}" for i in range(1, 10)))
WORDS = {
    "craft": ("none", "planks", "stick"),
    "equip": ("none", "air", "iron_axe", "other"),
    "place": ("none", "dirt", "torch"),
}


def actions(keys, words=(), text=False):
    spaces = {key: Discrete(2) for key in keys}
    spaces.update({word: Enum(*WORDS[word]) for word in words})
    if text:
        spaces["chat"] = Text()
    spaces["camera"] = Box(-180, 180, (2,), np.float32)
    return Dict(spaces)


class FakeEnv:
    def __init__(self, size=(64, 64), keys=SIMPLE, words=(), text=False, fault="", located=False, vector=False):
        self.size, self.fault, self.located = size, fault, located
        self.action_space = actions(keys, words, text)
        if vector:
            self.action_space = Dict({"vector": Box(-1, 1, (64,), np.float32)})
        pov = Box(0, 255, (*size, 3), np.uint8)
        self.observation_space = Dict({"pov": pov, "inventory": Dict({"dirt": Box(0, 2304, (), np.int64)})})
        self.monitor_space = Dict({"location_stats": Dict({})} if located else {})
        self.unwrapped, self.done, self._seed = self, True, None

    def seed(self, seed):
        self._seed = seed

    def reset(self):
        assert isinstance(self._seed, int), "seed before each reset"
        rng = np.random.default_rng(self._seed)
        self.odd = self._seed % 2 == 1
        self._seed = None  # as minerl does
        self.posts = rng.integers(0, 255, (36, 3))
        self.yaw, self.pitch, self.far, self.dirt, self.done, self.t = 0.0, 0.0, 0.0, 0, False, 0
        print("a game prints to stdout")
        sys.stdout.flush()
        if self.fault == "child":  # as Minecraft's launcher: in a session of its own
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            print(f"child {child.pid}", flush=True)
        if self.fault == "reset":
            raise TypeError("the reply was None")
        observation, self.monitor = self._process_observation()
        return observation

    def step(self, action):
        if self.done:
            raise RuntimeError("Attempted to step an environment server with done=True")
        assert set(action) == set(self.action_space.spaces), sorted(action)
        for key, space in self.action_space.spaces.items():
            assert not isinstance(space, Enum) or action[key] in space.values, action[key]
        self.t += 1
        if self.t == 3 and self.fault in ("error", "silent", "raise", "hang", "exit", "killed"):
            return self._fail()
        self.pitch = float(np.clip(self.pitch + action["camera"][0], -90, 90))
        self.yaw += float(action["camera"][1])
        self.far += 0.2 * (int(action["forward"]) - int(action["back"]))
        self.dirt += action.get("place") == "dirt"
        self.last = action
        self.done = self.t >= 5 if self.fault == "ends" else bool(action.get("ESC"))
        observation, monitor = self._process_observation()
        monitor["said"] = {key: value for key, value in sorted(action.items()) if isinstance(value, str)}
        return observation, 1.5, self.done or self._late(), monitor

    def close(self):
        pass

    def _late(self):
        return self.spec.max_episode_steps is not None and self.t >= self.spec.max_episode_steps

    def _process_observation(self):
        pov = self._draw()
        if self.t >= 3 and self.fault == "float":
            pov = pov.astype(np.float32) / 255
        if self.t >= 12 and self.fault == "odd" and self.odd:  # in half of the worlds, and not at once
            pov = pov.astype(np.float32)
        if self.t >= 3 and self.fault == "shape":
            pov = pov[:-1]
        place = {"xpos": 1.0, "ypos": 64.0, "zpos": 2.0 + self.far, "yaw": self.yaw, "pitch": self.pitch}
        monitor = {"location_stats": {k: np.array(v) for k, v in place.items()}} if self.located else {}
        return {"pov": pov, "inventory": {"dirt": np.array(self.dirt)}}, monitor

    def _draw(self):
        h, w = self.size
        y, x = np.arange(h)[:, None], np.arange(w)
        colour = self.posts[((x / w - 0.5) * 90 + self.yaw).astype(int) // 10 % 36].astype(np.uint8)
        horizon = h / 2 - self.pitch / 90 * h
        tall = (np.abs(y - horizon) < h * (0.2 + 0.02 * self.far))[..., None]
        sky = np.where((y < horizon)[..., None], np.uint8((120, 170, 230)), np.uint8((90, 140, 70)))
        return np.where(tall, colour, sky)[::-1].copy()[::-1]  # a view with negative strides, as minerl's

    def _fail(self):
        if self.fault == "error":  # what minerl does on a broken socket
            self.done = True
            noise = np.random.default_rng().integers(0, 255, (*self.size, 3), np.uint8)
            return {"pov": noise, "inventory": {}}, 0, True, {"error": "Connection timed out!"}
        if self.fault == "silent":  # 0.4.4, when the server cannot be stepped
            self.done = True
            return self._process_observation()[0], 0.0, False, {}
        if self.fault == "raise":
            raise ValueError("cannot reshape array of size 7")
        if self.fault == "hang":
            time.sleep(600)
        print("last words", flush=True)
        os._exit(7) if self.fault == "exit" else os.kill(os.getpid(), 9)


def add(name, limit=None, **kwargs):
    gym.register(name, entry_point=FakeEnv, max_episode_steps=limit, kwargs=kwargs)


add("MineRLTreechop-v0", limit=8000)
add("MineRLNavigate-v0", words=("place",))
add("MineRLObtainDiamond-v0", words=("craft", "equip", "place"))
add("MineRLTreechopVectorObf-v0", vector=True)
add("MineRLBasaltFindCave-v0", limit=3600, size=(360, 640), keys=HUMAN, located=True, text=True)
add("MineRLShort-v0", limit=4, keys=HUMAN)
for fault in ("error", "silent", "raise", "hang", "exit", "killed", "float", "shape", "child", "ends", "reset", "odd"):
    add(f"MineRLFault-{fault}-v0", fault=fault)
