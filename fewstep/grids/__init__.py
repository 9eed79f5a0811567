"""Time grids of schedules: by name (`even`), or measured on a model (`score_optimal`)."""

from fewstep.grids.even import MEASURED, Grid, edm, logsnr, named, names, quadratic, suitable, time

__all__ = ["MEASURED", "Grid", "edm", "logsnr", "named", "names", "quadratic", "suitable", "time"]
