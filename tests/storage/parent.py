"""Starting child processes, hearing what they say, and killing them."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

CHILDREN = multiprocessing.get_context("forkserver")  # imports once, then forks a process without threads
CHILDREN.set_forkserver_preload(["tests.storage.children"])
WAIT = 120


@contextmanager
def child(work: Callable, *arguments: Any) -> Iterator[tuple[Any, Connection]]:
    """A process that does ``work``, and the pipe on which it speaks; killed at the end if it still lives."""
    said, tell = CHILDREN.Pipe(duplex=False)
    process = CHILDREN.Process(target=work, args=(*arguments, tell), daemon=True)
    process.start()
    tell.close()
    try:
        yield process, said
    finally:
        process.kill()
        process.join()
        process.close()
        said.close()


def hear(said: Connection) -> Any:
    """The next thing the child says."""
    assert said.poll(WAIT), f"the child said nothing in {WAIT} s"
    return said.recv()


def kill(process: Any) -> None:
    """SIGKILL, as from the out-of-memory killer."""
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
