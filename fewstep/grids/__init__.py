"""Time grids of schedules: by name (`named`), measured on a model (`fewstep.grids.score_optimal`), or posted lists."""

from fewstep.grids.even import MEASURED, Grid, edm, logsnr, named, names, quadratic, suitable, time
from fewstep.grids.posted import posted_sigmas, posted_timesteps

__all__ = [
    "MEASURED",
    "Grid",
    "edm",
    "logsnr",
    "named",
    "names",
    "posted_sigmas",
    "posted_timesteps",
    "quadratic",
    "suitable",
    "time",
]
