"""The guidance of a pipeline: by which argument it is set, and at which scale the pass without the prompt is left out.

Scales follow Ho and Salimans (2021) as networks use them: D = D_without + w (D_with − D_without), so w = 1 is without
guidance. A pipeline whose argument counts from 0 (Z-Image) is set to w − 1. Distilled networks take the scale as an
input instead: their guidance is *embedded*, and costs no pass.
"""

from dataclasses import dataclass

__all__ = ["ARGUMENTS", "NONE", "Guidance"]

ARGUMENTS = ("true_cfg_scale", "guidance_scale")


@dataclass(frozen=True)
class Guidance:
    """``argument`` sets the scale, "" where nothing does · ``offset`` is what scale 1 is in the pipeline, less 1 ·
    ``passes`` are those of a call at the user's own scale, ``without`` those at scale 1 and less · ``own`` is the
    user's scale, where it is known.

    >>> zimage = Guidance("guidance_scale", offset=-1.0, passes=2, without=1)
    >>> zimage.value_at(5.0), zimage.passes_at(5.0), zimage.passes_at(1.0)
    (4.0, 2, 1)
    """

    argument: str = ""
    offset: float = 0.0
    passes: int = 1
    without: int = 1
    own: float | None = None

    def value_at(self, scale: float) -> float:
        """The argument's value for a scale."""
        return scale + self.offset

    def passes_at(self, scale: float | None) -> int:
        """Passes of a call at a scale, None for the user's own."""
        return self.passes if scale is None or scale > 1 else self.without


NONE = Guidance()
"""No guidance, and one pass."""
