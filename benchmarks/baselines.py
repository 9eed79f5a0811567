"""``python -m benchmarks.baselines``: how many baselines a process has, and the seconds to list and to rank them.

Trajectories are of an isotropic Gaussian in 64 dimensions, 24 noises: replay does not depend on what the network is.
"""

import time

import torch

from fewstep.models import scheduler_config
from fewstep.models.mixture import GaussianMixture
from fewstep.processes import Discrete, Flow, Process
from fewstep.search.evaluation import teacher
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.stages.baselines import baselines

__all__ = ["main"]

NOISES, SIZE, CALLS = 24, 64, (4, 8, 20)


def main() -> None:
    """Print one row for each process and number of calls."""
    stable = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    laws: dict[str, Process] = {
        "flow": Flow(shift=3.0),
        "Stable Diffusion's table": scheduler_config.table("DDIMScheduler", stable),
        "linear betas": Discrete.linear_betas(),
    }
    print("| process | calls | baselines | seconds to list | seconds to rank |\n|---|---|---|---|---|")
    for name, law in laws.items():
        weights, means, covariances = torch.ones(1), torch.zeros(1, SIZE), 0.25 * torch.eye(SIZE)[None]
        denoiser = GaussianMixture(law, weights, means, covariances)
        noise = torch.randn(NOISES, SIZE, generator=torch.Generator().manual_seed(0))
        rank = by_replay(teacher.follow(denoiser, noise))
        for nfe in CALLS:
            began = time.perf_counter()
            schedules = [schedule.canonical() for schedule in baselines(law, nfe).values()]
            listed = time.perf_counter()
            rank([], schedules)
            print(f"| {name} | {nfe} | {len(schedules)} | {listed - began:.2f} | {time.perf_counter() - listed:.2f} |")


if __name__ == "__main__":
    main()
