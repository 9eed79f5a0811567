"""`fewstep.grids.score_optimal` under its first name, which stays."""

from fewstep.grids.score_optimal import levels, measure

__all__ = ["levels", "measure"]
