"""Random projection of wide samples: distances and residuals are linear, so few numbers of each sample are enough."""

import numpy as np

__all__ = ["PROJECTED", "projection"]

PROJECTED = 64  # numbers that stay of a wide sample


def projection(d: int) -> np.ndarray:
    """(d, p): the identity for narrow samples, else a seeded random projection that keeps root mean squares."""
    if d <= PROJECTED:
        return np.eye(d)
    scaled: np.ndarray = np.random.default_rng(0).standard_normal((d, PROJECTED)) / np.sqrt(d)
    return scaled
