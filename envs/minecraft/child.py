"""The other end of the bridge: a child process that answers requests over a socket it inherits.

A request is a line of JSON. An answer is a uint32 (little-endian) length, a JSON header of that length, and the raw
bytes whose lengths the header lists. No port is opened: the channel is a socket pair that only the two processes have.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import socket
import struct
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from worldsim.envs.minecraft.display import Display
from worldsim.envs.minecraft.installation import BRIDGE, Installation
from worldsim.errors import ConfigError, WorldFailure

LONGEST_HEADER = 256 * 2**20  # bytes; a snapshot with a million changed blocks has about 20 MB
LINES_KEPT = 60  # of what the child says on stderr

Answer = tuple[dict[str, Any], list[bytes]]


class Bridge:
    """One child process."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        variables: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts the child.

        Args:
            command: Program and arguments.
            variables: Added to the environment.
            timeout: Seconds until an answer must be there.
            release: Called after the child has ended.
        """
        self.timeout = timeout
        ours, theirs = socket.socketpair()
        try:
            environment = {**os.environ, **(variables or {}), "WORLDSIM_FD": str(theirs.fileno())}
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                pass_fds=(theirs.fileno(),),
            )
        except OSError:
            ours.close()
            release()
            raise
        finally:
            theirs.close()
        self._socket = ours
        self._said: collections.deque[str] = collections.deque(maxlen=LINES_KEPT)
        assert self._process.stderr is not None
        threading.Thread(target=_listen, args=(self._process.stderr, self._said), daemon=True).start()
        self._finalizer = weakref.finalize(self, _end, self._process, ours, release)

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._finalizer.alive and self._process.poll() is None

    def call(self, op: str, *, timeout: float | None = None, **fields: Any) -> Answer:
        """Asks and waits for the answer: header and buffers.

        Raises:
            ConfigError: If the bridge refuses the request; it goes on.
            WorldFailure: If the child failed, hung or is gone; it is ended then.
        """
        if not self.is_alive:
            self.close()
            raise WorldFailure(f"the bridge is gone (exit {self._process.returncode}); {self._last_words()}")
        limit = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        try:
            self._socket.settimeout(limit)
            self._socket.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")
            (length,) = struct.unpack("<I", self._read(4, deadline))
            if length > LONGEST_HEADER:
                raise WorldFailure(f"the bridge answered {op!r} with a header of {length} bytes: it lost its place")
            header = json.loads(self._read(length, deadline))
            buffers = [self._read(size, deadline) for size in header.get("bytes", ())]
        except TimeoutError:
            self.close()
            raise WorldFailure(f"the bridge did not answer {op!r} in {limit:g} s and was ended") from None
        except (OSError, EOFError, ValueError, struct.error) as error:
            self.close()
            code = self._process.returncode
            raise WorldFailure(f"the bridge ended during {op!r} (exit {code}); {self._last_words()}") from error
        except BaseException:  # Ctrl-C in the middle of an answer: what comes next would be read at the wrong place
            self.close()
            raise
        if "error" in header:
            if header.get("kind") == "refused":
                raise ConfigError(header["error"])
            self.close()
            raise WorldFailure(f"the bridge failed at {op!r}: {header['error']}; {self._last_words()}")
        return header, buffers

    def close(self) -> None:
        """Ends the child. May be called twice."""
        self._finalizer()

    def _read(self, size: int, deadline: float) -> bytes:
        parts = bytearray(size)
        view, at = memoryview(parts), 0
        while at < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            got = self._socket.recv_into(view[at:])
            if not got:
                raise EOFError
            at += got
        return bytes(parts)

    def _last_words(self) -> str:
        time.sleep(0.05)  # the listener may still be reading
        lines = [line for line in self._said if line.strip()][-6:]
        return "its last words: " + " | ".join(lines) if lines else "it said nothing"


def start_node(found: Installation, *, timeout: float = 60.0) -> Bridge:
    """The real bridge, on a display of its own.

    Raises:
        WorldFailure: If the display or Node does not come up.
    """
    display = Display(found.xvfb)
    variables = {
        **display.variables,
        "NODE_PATH": str(found.modules),
        "LIBGL_ALWAYS_SOFTWARE": "1",  # the same pixels with and without a graphics card
    }
    command = [found.node, "--no-warnings", "--max-old-space-size=1024", str(BRIDGE / "main.js")]
    return Bridge(command, variables=variables, timeout=timeout, release=display.close)


def _listen(stream: IO[bytes], said: collections.deque[str]) -> None:
    with contextlib.suppress(ValueError, OSError):
        for line in stream:
            said.append(line.decode(errors="replace").rstrip()[:400])


def _end(process: subprocess.Popen[bytes], ours: socket.socket, release: Callable[[], None]) -> None:
    """The child ends when its socket closes; if it does not, it is killed by its pid."""
    ours.close()
    try:
        process.wait(2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10.0)
    if process.stderr is not None:
        process.stderr.close()
    release()
