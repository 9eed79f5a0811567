"""Samplers that people already have, by the names of their hosts: the solver that each amounts to on a process.

    comfyui:dpmpp_2m · k-diffusion:heun · diffusers:EulerDiscreteScheduler

All take a line of sigmas (`fewstep.export.sigmas`). Their lists end at σ = 0, clean data, where their last step is
first order; multistep ones begin at first order too, as `Solver.on` lays them out with ``lower_order_final=False``.
"""

from dataclasses import dataclass

from fewstep.errors import InvalidInput, UnknownName
from fewstep.export.sigmas import SAMPLERS
from fewstep.processes import Process

__all__ = ["HOSTS", "Target", "target"]

DIFFUSERS = {
    "EulerDiscreteScheduler": ("euler", "scaled"),
    "FlowMatchEulerDiscreteScheduler": ("euler", "plain"),
}  # the sampler that each scheduler is, and the state that it keeps
HOSTS: dict[str, tuple[str, ...]] = {
    "comfyui": tuple(SAMPLERS),
    "k-diffusion": tuple(SAMPLERS),
    "diffusers": tuple(DIFFUSERS),
}


@dataclass(frozen=True)
class Target:
    """A sampler of a host: ``host`` and ``name`` as people write them, ``sampler`` its name in k-diffusion."""

    host: str
    name: str
    sampler: str

    def solver(self, process: Process) -> str:
        """The name of the solver that the sampler is on a process; raises `InvalidInput` where it is none.

        >>> from fewstep import processes
        >>> target("comfyui:euler").solver(processes.Flow()), target("k-diffusion:lms").solver(processes.VE())
        ('flow-euler', 'lms-4')
        """
        kept = DIFFUSERS.get(self.name, ("", process.sampler_state))[1]
        solver = SAMPLERS[self.sampler].get(process.sampler_state)
        if solver is None or kept != process.sampler_state:
            fit = [name for name in SAMPLERS if process.sampler_state in SAMPLERS[name]]
            raise InvalidInput(
                f"{self.host}:{self.name} is no solver of this library on a {process.kind} process: take one of "
                f"{', '.join(fit)}, or a node of its own (fewstep export --format comfyui-node)"
            )
        return solver


def target(text: str) -> Target:
    """The sampler that ``host:name`` names; raises `InvalidInput`, and `UnknownName` with the known names.

    >>> target("diffusers:EulerDiscreteScheduler")
    Target(host='diffusers', name='EulerDiscreteScheduler', sampler='euler')
    """
    host, colon, name = text.partition(":")
    if not colon:
        raise InvalidInput(f"a sampler is written host:name, as comfyui:dpmpp_2m, got {text!r}")
    if host not in HOSTS:
        raise UnknownName("host of samplers", host, HOSTS)
    if name not in HOSTS[host]:
        raise UnknownName(f"sampler of {host}", name, HOSTS[host])
    return Target(host, name, DIFFUSERS[name][0] if host == "diffusers" else name)
