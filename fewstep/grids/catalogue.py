"""The named grids, and which of them suit a process.

| name | where | suits |
|---|---|---|
| ``logsnr``, ``time``, ``quadratic``, ``edm`` | `fewstep.grids.even` | all with finite log-SNR where they want it |
| ``beta``, ``beta57`` | `fewstep.grids.quantiles` | flows, and the table of Stable Diffusion |
| ``sgm-uniform``, ``linear-quadratic``, ``ays-…`` | `fewstep.grids.levels` | flows; those of `TABLES` their own table |
| ``shift-S`` (any number S), ``stretched`` | `fewstep.grids.shifted` | flows |

Another, ``score-optimal`` (Williams et al. 2024), is measured on a denoiser: `fewstep.grids.score_optimal`.
"""

import numpy as np

from fewstep.errors import InvalidInput, UnknownName
from fewstep.grids.even import Grid, edm, logsnr, quadratic, time
from fewstep.grids.levels import NEAR, TABLES, ays_sd15, ays_sdxl, ays_svd, linear_quadratic, sgm_uniform
from fewstep.grids.quantiles import beta, beta57
from fewstep.grids.shifted import shifted, stretched
from fewstep.processes import Process

__all__ = ["EVEN", "MEASURED", "default", "even_names", "named", "names", "suitable"]

MEASURED = "score-optimal"  # needs a denoiser: `fewstep.grids.score_optimal`
SHIFT = "shift-"
MANY = 50  # calls; no search has more
FLUX = "shift-3.158"  # e^1.15: Flux at 1024 × 1024
EVEN: dict[str, Grid] = {"logsnr": logsnr, "time": time, "quadratic": quadratic, "edm": edm}
GRIDS: dict[str, Grid] = {
    **EVEN,
    "beta": beta,
    "beta57": beta57,
    "sgm-uniform": sgm_uniform,
    "linear-quadratic": linear_quadratic,
    "ays-sd15": ays_sd15,
    "ays-sdxl": ays_sdxl,
    "ays-svd": ays_svd,
    FLUX: shifted(3.158),
    "stretched": stretched,
}
OF_FLOWS = ("logsnr", "beta", "linear-quadratic", FLUX, "stretched")  # beside the even ones
OF_TABLES = {"ays-sd15": ("beta", "ays-sd15", "ays-sdxl"), "ays-svd": ("ays-svd",)}  # by the table that a process has


def names() -> list[str]:
    """Names of the grids; ``shift-S`` is one for every number S.

    >>> names()[:5]
    ['logsnr', 'time', 'quadratic', 'edm', 'beta']
    """
    return list(GRIDS)


def even_names(process: Process) -> list[str]:
    """Names of the grids even in one variable that a process has from t_max to t_min.

    >>> from fewstep import processes
    >>> even_names(processes.VPLinear()), even_names(processes.Flow())
    (['logsnr', 'time', 'quadratic', 'edm'], ['time', 'quadratic'])
    """
    lam = process.log_snr(np.array([process.t_max, process.t_min]))
    wants = {"logsnr": bool(np.isfinite(lam).all()), "edm": bool(np.isfinite(lam[0]))}
    return [name for name in EVEN if wants.get(name, True)]


def default(process: Process) -> str:
    """The grid of a solver where none is named: even in log-SNR, or in time where that is infinite at an end.

    >>> from fewstep import processes
    >>> default(processes.VPLinear()), default(processes.Flow())
    ('logsnr', 'time')
    """
    return even_names(process)[0]


def suitable(process: Process) -> list[str]:
    """Names of the grids that baselines are tried on: the even ones, and those that pipelines of its kind run.

    >>> from fewstep import processes
    >>> suitable(processes.VPLinear())
    ['logsnr', 'time', 'quadratic', 'edm']
    >>> suitable(processes.Flow())
    ['time', 'quadratic', 'logsnr', 'beta', 'linear-quadratic', 'shift-3.158', 'stretched']
    """
    found = even_names(process)
    if process.sampler_state == "plain":
        added: tuple[str, ...] = OF_FLOWS
    else:
        most = float(process.sampler_sigma(np.float64(process.t_max)))
        added = next((more for table, more in OF_TABLES.items() if abs(most / TABLES[table][0] - 1) <= NEAR), ())
    return [*found, *(name for name in added if name not in found and _can_be_placed(process, name))]


def _can_be_placed(process: Process, name: str) -> bool:
    """Whether a grid falls from t_max to t_min, which levels of its own may not."""
    try:
        times = np.array(GRIDS[name](process, MANY))
    except InvalidInput:
        return False
    return bool(np.all(np.diff(times) < 0) and times[-1] == process.t_min)


def named(name: str) -> Grid:
    """The grid of that name; raises `UnknownName`, and for "score-optimal", which is measured, says how.

    >>> from fewstep import processes
    >>> named("time")(processes.VPLinear(t_min=0.25), 3)
    (1.0, 0.75, 0.5, 0.25)
    >>> named("shift-3")(processes.Flow(), 2)
    (1.0, 0.75, 0.0)
    """
    if name == MEASURED:
        raise InvalidInput(
            "a score-optimal grid is measured on a denoiser: fewstep.score_optimal.measure(denoiser, noise).grid()"
        )
    if name in GRIDS:
        return GRIDS[name]
    if name.startswith(SHIFT):
        try:
            shift = float(name.removeprefix(SHIFT))
        except ValueError as error:
            raise UnknownName("grid", name, [*GRIDS, "shift-S for a number S"]) from error
        return shifted(shift)
    raise UnknownName("grid", name, [*GRIDS, "shift-S for a number S"])
