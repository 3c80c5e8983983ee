"""One event loop in a thread of its own, for work that outlives a call: connections, hosts, child processes."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

__all__ = ["EventLoop"]

T = TypeVar("T")

THREADS: Final = 64
"""For name look-ups and file reads, which may each take long."""


class EventLoop:
    """Runs coroutines for other threads."""

    def __init__(self) -> None:
        _allow_many_files()
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="download"))
        self.thread = threading.Thread(target=self.loop.run_forever, name="download", daemon=True)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """Stop the loop; nothing may be running."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def _allow_many_files() -> None:
    """Raise the limit of open files, one a connection, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
