"""A stand-in for the game's side of the wire: the Malmo protocol that both versions of `minerl` speak, on loopback.

Written from the server that 0.4.4 brings along (Malmo/.../Client/MalmoEnvServer.java) and the two clients. Every
message is 4 bytes of length, big-endian, and a body. After a hello without an answer the client sends:

    <Quit/>                                   -> uint32
    <MissionInit ...>                         -> nothing yet
    uid:role:reset:agents:true[:seed]         -> uint32, 1 = accepted, 0 = busy
    <Peek/>                                   -> frame, info in JSON, int8 done
    <StepClient0>commands</StepClient0 >      -> frame, double reward, int8 done, int8 sent; info in JSON
    <StepServer></StepServer>                 -> nothing
    <Disconnect/>                             -> nothing; the connection ends

The frame is H*W*3 bytes, rows from the bottom. The picture: sky above ground; the ground's colour is the seed's; a
white post moves with the yaw. Only the standard library.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time


class StubGame:
    """Serves until closed. `faults` maps a step to "drop", "hang", "short" (frame) or "done"."""

    def __init__(self, size=(64, 64), faults=None, busy=0, modern=False):
        self.size, self.faults, self.busy, self.modern = size, faults or {}, busy, modern
        self.heard: list[str] = []  # every message but frames of commands
        self.seeds: list[int | None] = []
        self.steps: list[list[str]] = []  # commands of each step of all episodes
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._open = True
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._open = False
        self._server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _serve(self):
        while self._open:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            hello = receive(connection)
            if hello != b"<MalmoEnv0.37.0/>":
                return
            self.heard.append("hello")
            while (message := receive(connection)) is not None:
                text = message.decode()
                try:
                    if not self._answer(connection, text):
                        return
                except OSError:  # the client was killed, or gave up
                    return

    def _answer(self, connection, text):
        name = re.match(r"<(\w+)", text)[1]
        self.heard.append(name)
        if name == "Quit":
            send(connection, struct.pack("!I", 1))
        elif name == "MissionInit":
            self._begin(connection, receive(connection).decode())
        elif name == "Peek":
            for part in (self._picture(), self._info(), struct.pack("!b", 0)):
                send(connection, part)
        elif name == "StepClient0":
            assert text.endswith("</StepClient0 >"), text[-20:]
            return self._step(connection, text[len("<StepClient0>") : -len("</StepClient0 >")])
        elif name not in ("StepServer", "Disconnect"):
            raise AssertionError(f"unknown command {name}")
        return name != "Disconnect"

    def _begin(self, connection, token):
        uid, role, reset, agents, synchronous, *seed = token.split(":")
        assert len(uid) == 36 and (role, reset, agents, synchronous) == ("0", "0", "1", "true"), token
        if self.busy:
            self.busy -= 1
            send(connection, struct.pack("!I", 0))
            return
        self.seeds.append(int(seed[0]) if seed else None)
        self.t, self.yaw, self.pitch, self.z, self.dirt = 0, 0.0, 0.0, 0.0, 0
        send(connection, struct.pack("!I", 1))

    def _step(self, connection, commands):
        self.t += 1
        lines = commands.split("\n")
        self.steps.append(lines)
        said = dict(line.split(" ", 1) for line in lines)
        pitch, yaw = map(float, said["camera"].split())
        self.yaw, self.pitch = self.yaw + yaw, self.pitch + pitch
        self.z += 0.2 * (said["forward"] == "1")
        self.dirt += said.get("place") == "dirt"
        fault = self.faults.get(self.t)
        if fault == "drop":
            return False
        if fault == "hang":
            time.sleep(60)
        picture = self._picture()
        parts = (
            picture[:-3] if fault == "short" else picture,
            struct.pack("!dbb", 1.5, fault == "done", 1),
            self._info(),
        )
        for part in parts:
            send(connection, part)
        return True

    def _picture(self):
        """Rows from the bottom: ground first."""
        h, w = self.size
        ground = bytes((self.seeds[-1] or 0) >> shift & 255 for shift in (0, 8, 16))
        post = int(w / 2 - self.yaw) % w
        sky = b"\x78\xaa\xe6" * w
        up = sky[: 3 * post] + b"\xff\xff\xff" + sky[3 * post + 3 :]
        return ground * (w * (h // 2)) + up * (h - h // 2)

    def _info(self):
        held = (("dirt", self.dirt), ("snowball", 1))  # 0.4.4's BASALT tasks take a player without a snowball for dead
        stacks = [{"type": t, "quantity": n, "index": i, "metadata": 0} for i, (t, n) in enumerate(held)]
        hand = {"type": "air", "quantity": 0, "currentDamage": -1, "maxDamage": -1}
        told = {
            "inventory": stacks,
            # 1.0 reads JSON within JSON here
            "equipped_items": {"mainhand": json.dumps(hand) if self.modern else hand},
            "life_stats": {"life": 20.0},
            "compassAngle": self.yaw,
            "isGuiOpen": False,
            "xpos": 0.5,
            "ypos": 64.0,
            "zpos": self.z,
            "yaw": self.yaw,
            "pitch": self.pitch,
        }
        return json.dumps(told).encode()


def send(connection, body):
    connection.sendall(struct.pack("!I", len(body)) + body)


def receive(connection):
    head = exactly(connection, 4)
    return None if head is None else exactly(connection, struct.unpack("!I", head)[0])


def exactly(connection, count):
    data = b""
    while len(data) < count:
        try:
            part = connection.recv(count - len(data))
        except OSError:
            return None
        if not part:
            return None
        data += part
    return data
