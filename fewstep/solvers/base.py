"""A named solver: a table of steps, and their layout over a number of calls.

| kind | table | layout |
|---|---|---|
| multistep | ``ladder`` | rung k is the step where k outputs are available |
| singlestep | ``blocks`` | block k makes one stride with k calls; the largest as often as it fits, then smaller ones |
| started | both | ``starts`` times the largest block, then the ladder on the first outputs of the blocks |
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fewstep import grids
from fewstep.errors import InvalidInput
from fewstep.processes import Process
from fewstep.schedule import Schedule
from fewstep.steps.rules import places, reach
from fewstep.steps.step import Step
from fewstep.steps.weights import Levels

__all__ = ["Solver", "Stage"]

FEW_CALLS = 15  # below this, diffusers lowers the order of the last steps


class Stage(NamedTuple):
    """One call of a block: its step, which leads to this ``share`` of the stride."""

    share: float
    step: Step


@dataclass(frozen=True)
class Solver:
    """A named solver: its steps, its declared ``order`` of convergence and the paper it is from.

    ``inside``: the variable of the shares of a stride, "lambda" or "t". ``by_call``: the grid is placed over calls and
    a block spans as many of its gaps as it has calls; else it is placed over blocks. ``lowers``: with few calls, the
    last orders are lowered by default. ``only``: the one kind of process that it is for, if any.

    >>> from fewstep.solvers import named
    >>> [step.order for step in named("dpm-3m").ladder]
    [1, 2, 3]
    """

    name: str
    order: int
    source: str
    ladder: tuple[Step, ...] = ()
    blocks: tuple[tuple[Stage, ...], ...] = ()
    starts: int = 0
    inside: str = "lambda"
    by_call: bool = False
    lowers: bool = True
    only: str = ""

    @property
    def stochastic(self) -> bool:
        """Whether it adds fresh noise."""
        return any(step.eta > 0 for step in self.ladder)

    @property
    def outputs(self) -> int:
        """The most outputs that one of its steps uses."""
        stages = (stage.step.order for block in self.blocks for stage in block)
        return max([step.order for step in self.ladder] + list(stages))

    def applies(self, process: Process) -> bool:
        """Whether the solver is made for such a process.

        >>> from fewstep import processes
        >>> from fewstep.solvers import named
        >>> named("ddm").applies(processes.VPLinear()), named("unipc-3-bh2").applies(processes.VPLinear())
        (False, True)
        """
        return self.only in ("", process.kind)

    def schedule(
        self,
        process: Process,
        nfe: int,
        grid: str | grids.Grid | None = None,
        lower_order_final: bool | None = None,
    ) -> Schedule:
        """The solver's schedule with exactly ``nfe`` calls.

        ``grid`` is the name of a grid or a function like one; by default "logsnr", or "time" where log-SNR is infinite
        at an end. ``lower_order_final`` by default as diffusers: where nfe < 15. Orders are lowered and correctors left
        out where they cannot be, at infinite log-SNR and after the last call. Raises `InvalidInput` for a bad ``nfe``
        or a process that the solver is not made for, and `UnknownName` for a grid.

        >>> from fewstep import processes
        >>> from fewstep.solvers import named
        >>> [step.order for step in named("dpmpp-3m").schedule(processes.VPLinear(), nfe=5).steps]
        [1, 2, 3, 2, 1]
        """
        self._want_made_for(process)
        place = grid if callable(grid) else grids.named(grid or grids.default(process))
        calls = place(process, nfe)  # raises for a bad nfe before any layout
        sizes = self._sizes(Levels(process, np.array(calls[:1] + calls[-1:])), nfe)
        edges = np.cumsum([0, *sizes])
        outer = [calls[e] for e in edges] if self.by_call else list(place(process, len(sizes)))
        return self._laid(process, outer, sizes, lower_order_final)

    def on(self, process: Process, times: Sequence[float], lower_order_final: bool | None = None) -> Schedule:
        """The solver's schedule between these falling times: one stride for every two neighbours, as samplers of
        k-diffusion take a list of sigmas.

        Raises `InvalidInput` where the solver is not made for the process or has no layout of so many strides, and
        `InvalidSchedule` for times that no schedule has.

        >>> from fewstep import processes
        >>> from fewstep.solvers import named
        >>> named("heun").on(processes.Flow(), (1.0, 0.5, 0.0)).times
        (1.0, 0.5, 0.0)
        >>> named("heun").on(processes.VPLinear(), (1.0, 0.5, 0.1)).times
        (1.0, 0.5, 0.5, 0.1, 0.1)
        """
        self._want_made_for(process)
        outer = [float(time) for time in times]
        if len(outer) < 2 or not process.t_zero <= min(outer) <= max(outer) <= process.t_max:
            raise InvalidInput(
                f"a list has two or more times in [{process.t_zero:g}, {process.t_max:g}], got {str(outer)[:80]}"
            )
        bounds, strides = Levels(process, np.array([outer[0], outer[-1]])), len(outer) - 1
        most = len(self.blocks) or 1
        layouts = (self._sizes(bounds, nfe) for nfe in range(most * strides, strides - 1, -1))
        sizes = next((sizes for sizes in layouts if len(sizes) == strides), None)
        if sizes is None:
            raise InvalidInput(f"{self.name} has no layout of {strides} strides")
        return self._laid(process, outer, sizes, lower_order_final)

    def _want_made_for(self, process: Process) -> None:
        if not self.applies(process):
            raise InvalidInput(f"{self.name} is made for the process {self.only!r}, got {process.kind!r}")

    def _laid(self, process: Process, outer: list[float], sizes: list[int], lower: bool | None) -> Schedule:
        """The schedule of blocks of these ``sizes`` between the ``outer`` times."""
        edges = np.cumsum([0, *sizes])
        lowers = self.lowers and int(edges[-1]) < FEW_CALLS if lower is None else lower
        times, stages = self._layout(process, outer, sizes)
        levels = Levels(process, np.array(times))
        firsts = edges[:-1].tolist()
        steps = []
        for i, stage in enumerate(stages):
            step = self._rung(levels, i, [f for f in firsts if f <= i], lowers) if stage is None else stage
            steps.append(_without_impossible_corrector(levels, step, i))
        return Schedule(process, tuple(times), tuple(steps))

    def _sizes(self, bounds: Levels, nfe: int) -> list[int]:
        """The number of calls of each block, for a schedule between the two times of ``bounds``."""
        if not self.blocks:
            return [1] * nfe
        steps = [stage.step for stage in self.blocks[-1]]
        inside = self.inside == "lambda" and any(stage.share < 1 for stage in self.blocks[-1])
        finite = any(step.variable in ("lambda", "rho") or step.form == "noise" for step in steps if step.order > 1)
        early = any(stage.share == 1 for stage in self.blocks[-1][:-1])  # a call at the stride's own end
        first = [1] * bool(bounds.alpha[0] == 0.0 and (finite or inside))
        last = [1] * bool(bounds.sigma[1] == 0.0 and (early or inside))
        most = len(self.blocks[-1])
        rest = nfe - len(first) - len(last)
        if rest < 0:
            return [1] * nfe
        if self.starts:
            count = min(self.starts, rest // most)
            return [*first, *[most] * count, *[1] * (rest - count * most), *last]
        count, remainder = divmod(rest, most)
        tail = [remainder] * bool(remainder)
        if most == 3 and not remainder and not last and count:  # as in DPM-Solver: no third-order stride at the end
            count -= 1
            tail = [2, 1]
        return [*first, *[most] * count, *tail, *last]

    def _layout(self, process: Process, outer: list[float], sizes: list[int]) -> tuple[list[float], list[Step | None]]:
        """All times, and the steps inside blocks; None where a step comes from the ladder."""
        times = [outer[0]]
        steps: list[Step | None] = []
        for start, end, size in zip(outer[:-1], outer[1:], sizes, strict=True):
            block = self.blocks[size - 1] if size <= len(self.blocks) else ()
            if self.ladder and size == 1:
                block = ()
            for share, step in block:
                times.append(end if share == 1 else _between(process, start, end, share, self.inside))
                steps.append(step)
            if not block:
                times.append(end)
                steps.append(None)
        return times, steps

    def _rung(self, levels: Levels, i: int, history: list[int], lower: bool) -> Step:
        """The ladder's step for call ``i``, given the calls that count as history; the last of them is i."""
        usable = min(reach(levels, self.ladder[-1], i), len(history), len(levels.t) - 1 - i if lower else len(history))
        step = self.ladder[min(len(self.ladder), usable) - 1]
        if step.weights:
            step = replace(step, points=(tuple(call - i - 1 for call in history[-1 : -step.order - 1 : -1]),))
        return step.canonical()


def _between(process: Process, start: float, end: float, share: float, inside: str) -> float:
    if inside == "t":
        return start + share * (end - start)
    low, high = process.log_snr(np.array([start, end]))
    return float(process.time(np.float64(low + share * (high - low))))


def _without_impossible_corrector(levels: Levels, step: Step, i: int) -> Step:
    """The step, without its corrector at infinite log-SNR and after the last call."""
    where = places(levels, step)
    s = i + 1 + step.start
    t = i + 1
    if step.corrector and (t == len(levels.t) - 1 or not np.isfinite([where[s], where[t]]).all()):
        return replace(step, corrector=0, corrector_scale="none", corrector_slope=0.0)
    return step
