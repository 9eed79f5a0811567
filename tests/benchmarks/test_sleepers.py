"""Workers that only sleep: they are processes without torch, as the benchmark of the pools says."""

import pytest

from benchmarks import scale


@pytest.mark.parametrize("kind", ["local", "ray"])
def test_they_do_without_torch(kind: str) -> None:
    """A slot runs tasks, and has not imported it."""
    with scale.opened(kind, 1) as pool:
        assert pool.run(eval, "__import__('os').getpid()").result() != __import__("os").getpid()
        assert pool.run(eval, "'torch' in __import__('sys').modules").result() is False
