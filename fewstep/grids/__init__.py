"""Time grids of schedules: by name (`named`), measured on a model (`fewstep.grids.score_optimal`), or posted lists."""

from fewstep.grids.catalogue import EVEN, MEASURED, default, even_names, named, names, suitable
from fewstep.grids.even import Grid, edm, logsnr, quadratic, time
from fewstep.grids.levels import ays_sd15, ays_sdxl, ays_svd, linear_quadratic, sgm_uniform
from fewstep.grids.posted import posted_sigmas, posted_timesteps
from fewstep.grids.quantiles import beta, beta57
from fewstep.grids.shifted import empirical_mu, flow_mu, shifted, stretched

__all__ = [
    "EVEN",
    "MEASURED",
    "Grid",
    "ays_sd15",
    "ays_sdxl",
    "ays_svd",
    "beta",
    "beta57",
    "default",
    "edm",
    "empirical_mu",
    "even_names",
    "flow_mu",
    "linear_quadratic",
    "logsnr",
    "named",
    "names",
    "posted_sigmas",
    "posted_timesteps",
    "quadratic",
    "sgm_uniform",
    "shifted",
    "stretched",
    "suitable",
    "time",
]
