"""The main function of a worker process: build the objective once, then evaluate what comes down the pipe.

Nothing here imports torch, so that the environment which a worker was given counts when it is imported.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing.connection import Connection

from po_nas.runtime.executors.messages import READY, answered, broken, built

__all__ = ["BEAT", "BEAT_S", "serve"]

BEAT = '"beat"'
BEAT_S = 1.0
"""Seconds between two signs of life."""


class _Voice:
    """The pipe, which two threads write to."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def say(self, text: str) -> None:
        with self._lock:
            self._pipe.send_bytes(text.encode())

    def beat(self) -> None:
        """Give signs of life; when nobody listens any more (the search was killed), end this process at once."""
        while True:
            try:
                self.say(BEAT)
            except OSError:
                # With it whatever it started: data loaders, say.
                os.killpg(0, signal.SIGKILL)
            time.sleep(BEAT_S)


def serve(pipe: Connection, recipe: str) -> None:
    """Answer jobs until the pipe is closed."""
    # A group of its own: it can be killed with all that it starts, and Ctrl-C is for the search to handle.
    os.setsid()
    voice = _Voice(pipe)
    threading.Thread(target=voice.beat, daemon=True).start()
    try:
        objective = built(recipe)
    except Exception as error:
        voice.say(broken(error))
        return
    voice.say(READY)
    while True:
        try:
            job = pipe.recv_bytes().decode()
        except (EOFError, OSError):
            return
        voice.say(answered(objective, job))
