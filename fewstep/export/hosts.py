"""Samplers that people already have, by the names of their hosts: the schedule that each runs on a list of times.

    comfyui:dpmpp_2m · k-diffusion:heun · diffusers:EulerDiscreteScheduler

All take a line of sigmas (`fewstep.export.sigmas`). Their lists end at σ = 0, clean data, where their last step is
first order; multistep ones begin at first order too, and no order is lowered otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fewstep.errors import InvalidInput, UnknownName
from fewstep.export.sigmas import SAMPLERS, on_times
from fewstep.processes import Process
from fewstep.schedule import Schedule

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

    def on(self, process: Process, times: Sequence[float]) -> Schedule:
        """The schedule that the sampler runs on a list of times; raises `InvalidInput` where it is for other processes.

        >>> from fewstep import processes
        >>> target("comfyui:euler").on(processes.Flow(), (1.0, 0.5, 0.0)).nfe
        2
        """
        kept = DIFFUSERS.get(self.name, ("", process.sampler_state))[1]
        if kept != process.sampler_state or process.sampler_state not in SAMPLERS[self.sampler]:
            fit = [name for name in SAMPLERS if process.sampler_state in SAMPLERS[name]]
            raise InvalidInput(
                f"{self.host}:{self.name} is for other processes than {process.kind}: take one of {', '.join(fit)} of "
                "another host, or a node of its own (fewstep export --format comfyui-node)"
            )
        return on_times(self.sampler, process, times)


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
