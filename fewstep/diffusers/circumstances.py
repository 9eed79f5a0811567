"""Circumstances of a search that a schedule depends on, and the warning where a pipeline runs under others."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

from fewstep.errors import InvalidInput

__all__ = ["CircumstanceWarning", "Circumstances"]

SAME_SHIFT = 1e-2  # relative: pipelines round image sizes to patches


class CircumstanceWarning(UserWarning):
    """A pipeline runs a schedule at another resolution, precision or adapter than it was searched at."""


@dataclass(frozen=True)
class Circumstances:
    """What a schedule was searched at; None where it is not known, and then nothing is compared.

    ``mu`` the time shift that the pipeline passes for its image size (Flux and its kin) · ``shape`` of one latent
    sample · ``dtype`` of the network ("bfloat16") · ``adapters`` the names of those that are active.

    >>> Circumstances(mu=1.15).differences(mu=1.15, shape=(16, 64, 64))
    []
    >>> Circumstances(mu=1.15).differences(mu=0.5)
    ['time shift mu 0.5, searched at 1.15']
    """

    mu: float | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    adapters: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.mu is not None and not math.isfinite(self.mu):
            raise InvalidInput(f"mu is a finite number, got {self.mu}")
        for name in ("shape", "adapters"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))

    def differences(
        self,
        mu: float | None = None,
        shape: tuple[int, ...] | None = None,
        dtype: str | None = None,
        adapters: tuple[str, ...] | None = None,
    ) -> list[str]:
        """What differs now, in words; only what is known on both sides is compared."""
        found = []
        if self.mu is not None and mu is not None and abs(mu - self.mu) > SAME_SHIFT:
            found.append(f"time shift mu {mu:.4g}, searched at {self.mu:.4g}")
        for name, then, now in (
            ("latents", self.shape, shape),
            ("precision", self.dtype, dtype),
            ("adapters", self.adapters, adapters),
        ):
            if then is not None and now is not None and then != now:
                found.append(f"{name} {now or 'none'}, searched at {then or 'none'}")
        return found

    def compare(
        self,
        mu: float | None = None,
        shape: tuple[int, ...] | None = None,
        dtype: str | None = None,
        adapters: tuple[str, ...] | None = None,
    ) -> None:
        """Warn by a `CircumstanceWarning` where something differs now."""
        found = self.differences(mu, shape, dtype, adapters)
        if found:
            warnings.warn(
                f"this schedule runs under other circumstances than it was searched under ({'; '.join(found)}): its "
                "samples may be worse than the search said; search again under these",
                CircumstanceWarning,
                stacklevel=4,
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values of what is known."""
        known = {"mu": self.mu, "shape": self.shape, "dtype": self.dtype, "adapters": self.adapters}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in known.items() if value is not None
        }
