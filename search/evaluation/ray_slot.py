"""What a Ray actor does: one slot that runs one task after the other. Importing it imports neither torch nor ray."""

from collections.abc import Callable
from typing import Any

__all__ = ["RaySlot"]


class RaySlot:
    """One slot; ``start(device)``, where there is one, runs first."""

    def __init__(self, start: Callable[[str], None] | None, device: str) -> None:
        if start is not None:
            start(device)

    def where(self) -> str:
        """The identity of the node where the slot is."""
        import ray

        node: str = ray.get_runtime_context().get_node_id()
        return node

    def run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
        """Whether ``function(*args)`` succeeded; and its result, or its own exception."""
        try:
            return True, function(*args)
        except Exception as error:
            error.__traceback__ = None
            return False, error
