"""A child that speaks the bridge's frames and knows a toy world: the Python side is tested without Node.

`python fake_bridge.py [FAULT]`; FAULT is one of "dies", "hangs", "babbles", "fails", "short", "lingers", each at the
third step.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from typing import Any

import numpy as np

BLOCKS = ["air", "stone", "dirt", "red_wool"]


class Refused(Exception):
    """A request that cannot be met."""


class Toy:
    """A plain with cells that can be changed and creatures that drift if they wander."""

    def __init__(self, fault: str) -> None:
        self.fault, self.steps = fault, 0
        self.state: dict[str, Any] = {}

    def start(self, q: dict[str, Any]) -> Any:
        self.size, self.survival = (q["height"], q["width"]), q["survival"]
        return {"version": "toy"}, []

    def reset(self, q: dict[str, Any]) -> Any:
        rng = np.random.default_rng(q["seed"])
        creatures = [
            {"kind": "sheep", "coat": "red", "exists": True, "health": 4, "x": float(x), "y": 5.0, "z": float(z)}
            | {"yaw": 0.0, "wander": q["wander"], "random": q["dynamics"] + i, "home": [0, 0], "goal": None, "rest": 0}
            for i, (x, z) in enumerate(rng.uniform((-3, 1), (3, 7), (q["creatures"], 2)))
        ]
        self.state = {
            "version": "toy",
            "preset": q["preset"],
            "seed": q["seed"],
            "survival": self.survival,
            "wander": q["wander"],
            "tick": 0,
            "random": q["seed"],
            "agent": {"body": [0.0, 5, 0, 0, 0, 0, float(q["seed"] % 7), 0], "flags": [0] * 6, "jump": 0, "slot": 0}
            | {"waits": [0, 0], "dig": [], "events": []},
            "items": [],
            "creatures": creatures,
            "cells": [],
            "changed": [],
        }
        return self.look({})

    def step(self, q: dict[str, Any]) -> Any:
        self.steps += 1
        if self.steps == 3:
            self._misbehave()
        s, body = self.state, self.state["agent"]["body"]
        s["tick"] += 1
        s["changed"], s["agent"]["events"] = [], []
        body[6] = (body[6] + q["yaw"] + 180) % 360 - 180
        body[7] = float(np.clip(body[7] + q["pitch"], -90, 90))
        body[2] += 0.2 * (q["move"][0] - q["move"][1])
        if q["use"]:
            self._set([int(body[0]), 5, int(body[2]) + 1], 3)
            s["agent"]["events"] = [{"kind": "place", "id": 0, "position": [0, 5, 1], "details": {"kind": "red_wool"}}]
        for row in s["creatures"]:
            if row["wander"]:
                row["random"] = (row["random"] * 1103515245 + 12345) % 2**31
                row["x"] += (row["random"] % 1000 - 500) / 1e4
        return self.look(q) if q["draw"] else ({"tick": s["tick"]}, [])

    def _misbehave(self) -> None:
        if self.fault == "dies":
            print("a last word", file=sys.stderr, flush=True)
            os._exit(7)
        if self.fault in ("hangs", "lingers"):
            time.sleep(60)
        if self.fault == "fails":
            raise ValueError("something inside broke")

    def look(self, q: dict[str, Any]) -> Any:
        body = self.state["agent"]["body"]
        pose = q.get("pose") or self._pose()
        h, w = (n * q.get("scale", 1) for n in self.size)
        m = np.array(pose).reshape(4, 4)
        tint = (np.abs(m[:3, 2]) * 80 + np.abs(m[:3, 3] % 9) * 9 + self.state["seed"] % 31).astype(np.uint8)
        rgba = np.full((h, w, 4), 255, np.uint8)
        rgba[..., :3] = tint + 3 * len(self.state["cells"])
        senses = np.full((*self.size, 4), 255, np.uint8)
        senses[..., 3] = 0
        for i, row in enumerate(self.state["creatures"]):
            if row["exists"]:
                u, v, z = self._project(m, row)
                if z > 0.1 and 0 <= u < self.size[1] and 0 <= v < self.size[0]:
                    bits = int(z / 256 * (2**24 - 1))
                    y, x = int(v), int(u)
                    senses[y : y + 3, x : x + 3] = (bits >> 16, bits >> 8 & 255, bits & 255, i + 1)
                    k = q.get("scale", 1)
                    rgba[k * y : k * (y + 3), k * x : k * (x + 3), :3] = 40 if row["coat"] == "red" else 90
        buffers = [rgba[::-1].tobytes()] + ([senses[::-1].tobytes()] if q.get("sense") else [])
        facts = {
            "tick": self.state["tick"],
            "pose": pose,
            "position": body[:3],
            "velocity": body[3:6],
            "ground": True,
            "slot": 0,
            "cells": [[x, y, z, BLOCKS[a], BLOCKS[b]] for x, y, z, a, b in self.state["changed"]],
            "events": self.state["agent"]["events"],
            "creatures": [
                {"id": i + 1, "kind": f"{r['coat']}_sheep", "position": [r["x"], r["y"] + 0.6, r["z"]]}
                | {"size": [0.9, 1.2, 0.9], "exists": r["exists"], "colour": r["coat"], "yaw": 0, "health": r["health"]}
                for i, r in enumerate(self.state["creatures"])
            ],
        }
        return facts, buffers

    def _pose(self) -> list[float]:
        x, y, z, *_, yaw, pitch = self.state["agent"]["body"]
        a, b = np.radians(yaw), np.radians(pitch)
        forward = np.array([-np.sin(a) * np.cos(b), -np.sin(b), np.cos(a) * np.cos(b)])
        right = np.array([-np.cos(a), 0.0, -np.sin(a)])
        m = np.eye(4)
        m[:3] = np.stack([right, np.cross(forward, right), forward, [x, y + 1.62, z]], axis=1)
        return [float(v) for v in m.ravel()]

    def _project(self, m: Any, row: dict[str, Any]) -> tuple[float, float, float]:
        p = m[:3, :3].T @ (np.array([row["x"], row["y"] + 0.6, row["z"]]) - m[:3, 3])
        f = 0.7 * self.size[0]
        return f * p[0] / p[2] + self.size[1] / 2, f * p[1] / p[2] + self.size[0] / 2, float(p[2])

    def snapshot(self, q: dict[str, Any]) -> Any:
        return {"state": self.state}, []

    def restore(self, q: dict[str, Any]) -> Any:
        if q["state"]["version"] != "toy":
            raise Refused("a snapshot of another version")
        self.state = q["state"]
        for i, row in enumerate(self.state["creatures"]):
            if q.get("dynamics") is not None:
                row["random"] = q["dynamics"] + i
        return self.look({})

    def edit(self, q: dict[str, Any]) -> Any:
        rows, name = self.state["creatures"], q["name"]
        row = rows[q["object_id"] - 1] if "object_id" in q else {}
        if name == "RemoveObject":
            row["exists"] = False
        elif name == "MoveObject":
            row["x"], row["y"], row["z"] = q["position"]
        elif name == "RecolourObject":
            row["coat"] = q["colour"]
        elif name == "ReplaceObject":
            row["coat"] = q["kind"].removesuffix("_sheep")
        elif name == "AddObject":
            x, y, z = q["position"]
            rows.append({**rows[0], "x": x, "y": y, "z": z, "exists": True})
        elif name == "SetCell":
            if q["kind"] not in BLOCKS:
                raise Refused(f"no block is called {q['kind']}")
            self._set(q["position"], BLOCKS.index(q["kind"]))
        elif name == "SetPose":
            self.state["agent"]["body"] = [*q["position"], 0, 0, 0, q["yaw"], q["pitch"]]
        return {}, []

    def _set(self, cell: list[int], kind: int) -> None:
        was = next((row[3] for row in self.state["cells"] if row[:3] == cell), 0)
        self.state["cells"] = [row for row in self.state["cells"] if row[:3] != cell] + (
            [[*cell, kind]] if kind else []
        )
        if was != kind:
            self.state["changed"].append([*cell, was, kind])

    def verify(self, q: dict[str, Any]) -> Any:
        return {"differ": [], "astray": [], "apart": 0.0}, []


def main() -> None:
    toy = Toy(sys.argv[1] if len(sys.argv) > 1 else "")
    channel = socket.socket(fileno=int(os.environ["WORLDSIM_FD"]))
    for line in channel.makefile("rb"):
        request = json.loads(line)
        try:
            header, buffers = getattr(toy, request["op"])(request)
        except Refused as error:
            header, buffers = {"error": str(error), "kind": "refused"}, []
        except Exception as error:
            header, buffers = {"error": str(error), "kind": "failure"}, []
        if toy.fault == "babbles" and toy.steps == 3:
            channel.sendall(b"\xff\xff\xff\xffnonsense")
            continue
        if toy.fault == "short" and toy.steps == 3:
            buffers = [buffers[0][:-4]]
        text = json.dumps({**header, "bytes": [len(b) for b in buffers]}).encode()
        channel.sendall(struct.pack("<I", len(text)) + text + b"".join(buffers))
    if toy.fault == "lingers":
        time.sleep(60)


if __name__ == "__main__":
    main()
