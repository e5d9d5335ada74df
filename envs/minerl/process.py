"""The worker as a process: started in the user's Python, asked with a time-out, and never left behind."""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from worldsim.envs.minerl import wire
from worldsim.envs.minerl.advice import INSTALL
from worldsim.errors import PrerequisiteError, UnknownNameError, WorldFailure, nearest

SCRIPT = Path(__file__).with_name("worker.py")
TOKEN = "WORLDSIM_MINERL_WORKER"  # as in worker.py
_LINES = 40  # of what the worker and the game print are kept for error messages
_WIDTH = 4000  # bytes of one line


class WorkerProcess:
    """One worker. After any `WorldFailure` but those of a bad frame it is dead; start another."""

    def __init__(self, python: str, *, timeout: float) -> None:
        """Starts the interpreter; nothing of `minerl` is imported yet.

        Args:
            python: Path of the interpreter that has `minerl`.
            timeout: Seconds in which a request must be read.

        Raises:
            PrerequisiteError: If there is no such program.
        """
        self._send_timeout = timeout
        ours, theirs = socket.socketpair()
        self._channel, token = ours, uuid.uuid4().hex
        folder = Path(tempfile.mkdtemp(prefix="worldsim-minerl-"))  # MineRL writes its logs into the current folder
        try:
            self._process = subprocess.Popen(
                [python, "-u", str(SCRIPT), str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=_environment(token),
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        except OSError as error:
            ours.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise PrerequisiteError(f"{python} cannot be started ({error}). {INSTALL}") from error
        finally:
            theirs.close()
        self.printed: collections.deque[str] = collections.deque(maxlen=_LINES)
        self._reader = threading.Thread(target=_collect, args=(self._process.stdout, self.printed), daemon=True)
        self._reader.start()
        self._end = weakref.finalize(self, _end, self._process, ours, token, folder)

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._end.alive and self._process.poll() is None

    def ask(self, op: str, timeout: float, **values: Any) -> tuple[dict[str, Any], bytes]:
        """One request and its answer.

        Args:
            op: "make", "reset" or "step".
            timeout: Seconds until it counts as hung.
            **values: What the request says beside `op`.

        Returns:
            The header and the bytes of the frame ("reset" and "step").

        Raises:
            WorldFailure: If it hangs, dies or fails; it is killed then.
            PrerequisiteError: If its Python has no `minerl` that can be imported.
            UnknownNameError: If `minerl` has no such task.
        """
        try:
            wire.send(self._channel, {"op": op, **values}, min(timeout, self._send_timeout))
            header, body = wire.receive(self._channel, timeout)
        except wire.SlowError as error:
            self._fail(f"MineRL did not return from {op} within {timeout:g} s and was killed", error)
        except wire.LostError as error:
            code = self._exit_code()
            self._fail(f"MineRL's worker ended in {op}: {error}{code}", error)
        if "error" in header:
            self._refused(op, header, str(values.get("task", "")))
        return header, body

    def close(self, grace: float = 5.0) -> None:
        """Lets it end the game, then makes sure that nothing of it is left; may be called twice."""
        if self._end.alive:
            try:
                wire.send(self._channel, {"op": "close"}, 1.0)
                self._process.wait(grace)
            except (wire.LostError, wire.SlowError, subprocess.TimeoutExpired):
                pass  # killed below
            self.kill()

    def kill(self) -> None:
        """Kills it and everything that it started."""
        self._end()

    def _exit_code(self) -> str:
        try:
            return f" (exit code {self._process.wait(1.0)})"
        except subprocess.TimeoutExpired:
            return ""

    def _refused(self, op: str, header: Mapping[str, Any], task: str) -> NoReturn:
        kind, message = header["error"], header.get("message", "")
        self.kill()
        if kind == "missing":
            raise PrerequisiteError(f"this Python cannot use MineRL: {message}. {INSTALL}")
        if kind == "unknown":
            known = header.get("known", [])
            raise UnknownNameError(
                f"this minerl has no task called {task!r}.{nearest(task, known)} It has {', '.join(known)}."
            )
        if kind == "lost":
            raise WorldFailure(
                f"MineRL lost the game in {op}: {message}. (The library itself would go on with a random observation; "
                "the episode ends here, and the next reset starts the game anew.)"
            )
        error = WorldFailure(f"MineRL raised in {op}: {message}")
        error.add_note(str(header.get("trace", "")))
        raise error

    def _fail(self, what: str, error: Exception) -> NoReturn:
        self._reader.join(0.2)  # its last words may still be on the way
        last = "\n".join(self.printed)
        self.kill()
        failure = WorldFailure(f"{what}; the next reset starts it anew")
        if last:
            failure.add_note(f"its last lines:\n{last}")
        raise failure from error


def _environment(token: str) -> dict[str, str]:
    """Ours, with the token; relative entries of PYTHONPATH stay right in another folder."""
    environment = {**os.environ, TOKEN: token}
    paths = environment.get("PYTHONPATH")
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(str(Path.cwd() / p) for p in paths.split(os.pathsep) if p)
    return environment


def _collect(pipe: Any, lines: collections.deque[str]) -> None:
    """Reads what is printed to its end, so that the worker never waits for a full pipe; keeps the last lines."""
    with pipe:
        for line in iter(lambda: pipe.readline(_WIDTH), b""):
            lines.append(line.decode("utf-8", "replace").rstrip())


def _end(process: subprocess.Popen[bytes], channel: socket.socket, token: str, folder: Path) -> None:
    """Kills the worker first, then what it started, wherever that moved itself."""
    channel.close()
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):  # in the kernel's hands; nothing more can be done
        process.wait(5.0)
    for _ in range(5):  # one that is being started may be missed once
        if not kill_family(token, process.pid):
            break
    shutil.rmtree(folder, ignore_errors=True)


def kill_family(token: str, leader: int) -> int:
    """Kills every process that carries the token in its environment; returns how many it found.

    Minecraft's launcher makes a session of its own, and children of a dead worker belong to init: neither process
    groups nor parents lead to them. Without /proc only the worker's own session is killed.
    """
    proc = Path("/proc")
    if not (proc / "self").exists():
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGKILL)
        return 0
    return sum(_kill(int(entry.name)) for entry in proc.iterdir() if entry.name.isdigit() and _carries(entry, token))


def _carries(entry: Path, token: str) -> bool:
    try:
        return f"{TOKEN}={token}".encode() in (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False
    return True


def call_once(command: Sequence[str], timeout: float) -> tuple[int, str]:
    """Runs a short program: (exit code, what it printed); 127 where it cannot be started, 124 if it hung."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return 124, f"no answer in {timeout:g} s"
    except OSError as error:
        return 127, str(error)
    return done.returncode, (done.stdout + done.stderr).strip()
