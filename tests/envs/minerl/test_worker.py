"""The worker as a process: what is lost, killed or hung is noticed, started anew, and leaves nothing behind."""

from __future__ import annotations

import ast
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.envs.minerl.conftest import FAKE
from worldsim.envs.actions import noop
from worldsim.envs.minerl import wire, worker
from worldsim.envs.minerl.env import MineRLEnv
from worldsim.envs.minerl.process import SCRIPT, TOKEN
from worldsim.errors import WorldFailure


def play(env: MineRLEnv, steps: int = 3) -> None:
    for _ in range(steps):
        env.step(noop(env.action_space))


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("error", r"lost the game in step: GameLostError: Connection timed out!"),
        ("silent", r"server could not be stepped"),
        ("raise", r"raised in step: ValueError: cannot reshape"),
        ("exit", r"ended in step: it is gone \(exit code 7\)"),
        ("killed", r"ended in step: it is gone \(exit code -9\)"),
    ],
)
def test_a_lost_game_is_an_error_never_a_random_frame(fault: str, words: str) -> None:
    env = MineRLEnv(python=FAKE, task=f"MineRLFault-{fault}-v0")
    first = env.reset(seed=5)[0]
    assert env._worker is not None
    pid = env._worker.pid
    with pytest.raises(WorldFailure, match=words) as raised:
        play(env)
    assert gone(pid)
    if fault == "exit":
        assert "last words" in "".join(raised.value.__notes__)
    assert np.array_equal(first, env.reset(seed=5)[0])  # started anew
    assert env._worker is not None and env._worker.pid != pid
    env.close()


def test_a_reset_that_fails_names_its_cause() -> None:
    env = MineRLEnv(python=FAKE, task="MineRLFault-reset-v0")
    with pytest.raises(WorldFailure, match="raised in reset: TypeError: the reply was None"):
        env.reset(seed=0)
    env.close()


def test_a_worker_that_was_killed_between_two_steps() -> None:
    env = MineRLEnv(python=FAKE)
    env.reset(seed=0)
    assert env._worker is not None
    os.kill(env._worker.pid, signal.SIGKILL)
    with pytest.raises(WorldFailure, match="ended in step"):
        play(env)
    env.reset(seed=0)
    play(env)
    env.close()


def child_of(env: MineRLEnv) -> int:
    """The process that the "game" of MineRLFault-child-v0 started, in a session of its own."""
    assert env._worker is not None
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for line in list(env._worker.printed):
            if line.startswith("child "):
                return int(line.split()[1])
        time.sleep(0.02)
    raise AssertionError("the stand-in printed no child")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", ["close", "killed worker", "forgotten"])
def test_nothing_is_left_behind(how: str) -> None:
    env = MineRLEnv(python=FAKE, task="MineRLFault-child-v0")
    env.reset(seed=0)
    child = child_of(env)
    assert alive(child) and env._worker is not None
    pid = env._worker.pid
    if how == "close":
        env.close()
    elif how == "forgotten":
        del env
    else:
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorldFailure):
            play(env)
    assert gone(pid) and gone(child)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_killed_client_takes_worker_and_game_with_it() -> None:
    script = f"""
        import os, signal
        from tests.envs.minerl.test_worker import child_of
        from worldsim.envs.minerl.env import MineRLEnv
        env = MineRLEnv(python={FAKE!r}, task="MineRLFault-child-v0")
        env.reset(seed=0)
        print(env._worker.pid, child_of(env), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        timeout=60,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert all(gone(int(pid)) for pid in run.stdout.split())


# ------------------------------------------------------------------------------------------------------- messages


def test_the_worker_is_python_3_7_and_needs_nothing_else() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 7))
    named = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    named |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert named - set(sys.stdlib_module_names) == {"numpy"}
    assert "pickle" not in SCRIPT.read_text()
    assert worker.TOKEN == TOKEN


@given(text=st.text(), number=st.floats(allow_nan=False), body=st.binary(max_size=10_000))
def test_what_one_side_sends_the_other_reads(text: str, number: float, body: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.send(theirs, {"text": text, "number": number}, body)
        assert wire.receive(ours, 5.0) == ({"text": text, "number": number}, body)
        wire.send(ours, {"op": text}, 5.0)
        assert worker.receive(theirs) == ({"op": text}, b"")


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (struct.pack("!II", 1 << 30, 0), "lengths"),
        (struct.pack("!II", 3, 0) + b"abc", "no JSON"),
        (struct.pack("!II", 2, 0) + b"[]", "list"),
        (struct.pack("!II", 9, 0) + b"{", "gone"),
        (b"", "gone"),
    ],
)
def test_garbage_is_refused(sent: bytes, words: str) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(sent)
        theirs.close()
        with pytest.raises(wire.LostError, match=words):
            wire.receive(ours, 5.0)


def test_silence_is_noticed() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack("!II", 2, 0) + b"{")  # begins, and stops
        with pytest.raises(wire.SlowError):
            wire.receive(ours, 0.1)


def test_observations_become_plain_values() -> None:
    told = {"a": np.array(3), "b": {"c": np.str_("x"), "d": np.array([1.5, 2.0])}, "e": np.bool_(True), "f": (1, None)}
    assert worker.plain(told) == {"a": 3, "b": {"c": "x", "d": [1.5, 2.0]}, "e": True, "f": [1, None]}
    many = {f"item{i}": np.array(i % 40) for i in range(80)}
    assert worker.plain(many) == {f"item{i}": i % 40 for i in range(80) if i % 40}
