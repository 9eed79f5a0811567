"""Overhead of a step: our loop and scheduler against diffusers' own, on latents of Stable Diffusion.

``python -m benchmarks.overhead [--quick] [--threads N] [--out FILE]`` writes JSON: for each method and number of calls
the microseconds of a step (the network replaced by stored tensors) and their ratio to diffusers' class, which runs
the very same schedule (`fewstep.diffusers.importer.from_diffusers`), with the largest difference of the two ends.
Rounds are interleaved. There are two ratios: of the medians, and of the fastest rounds, without other programs
or fresh allocations in the way (the latter cost diffusers more, which makes more tensors). For the
way a step is summed, three ways side by side: the plan's short sums, rows as they stand, one matrix product over all
history.
"""

import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

import fewstep
from fewstep import compile, models
from fewstep.diffusers.importer import from_diffusers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.sampling import plan
from fewstep.sampling.history import History

SHAPE = (16, 4, 64, 64)
CALLS = (8, 20)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
METHODS: dict[str, Any] = {"dpmpp-2m": DPMSolverMultistepScheduler, "unipc-2": UniPCMultistepScheduler}
AIM = 0.33

Run = Callable[[], Any]


def stepping(scheduler: Any, calls: int, start: torch.Tensor, outputs: list[torch.Tensor]) -> Run:
    """The loop of a pipeline with that scheduler, less the network."""

    def run() -> torch.Tensor:
        scheduler.set_timesteps(calls)
        x = start
        for t, output in zip(scheduler.timesteps, outputs, strict=True):
            x = scheduler.step(output, t, x, return_dict=False)[0]
        return x

    return run


def sampling(schedule: fewstep.Schedule, start: torch.Tensor, outputs: list[torch.Tensor]) -> Run:
    """`fewstep.sample` with a denoiser that returns stored outputs."""
    queue: Iterator[torch.Tensor] = iter(())

    def run() -> torch.Tensor:
        nonlocal queue
        queue = iter(outputs)
        return fewstep.sample(denoiser, schedule, start)

    denoiser = models.from_callable(lambda x, t: next(queue), schedule.process)
    return run


def summing(schedule: fewstep.Schedule, start: torch.Tensor, outputs: list[torch.Tensor]) -> dict[str, Run]:
    """The sums alone, three ways, for a network that predicts data."""
    tableau = compile(schedule)
    updates = plan.make(tableau)

    def short() -> torch.Tensor:
        history, x = History(), start
        for update, output in zip(updates, outputs, strict=True):
            x = history.advance(update, x, output)
        return x

    def rows() -> torch.Tensor:
        x = start
        for i in range(tableau.calls):
            x = float(tableau.start[i]) * start
            for weight, output in zip(tableau.outputs[i].tolist(), outputs[: i + 1], strict=False):
                x.add_(output, alpha=weight)
        return x

    weights = torch.tensor(tableau.outputs, dtype=start.dtype)
    first = torch.tensor(tableau.start, dtype=start.dtype)
    stack = torch.empty(1 + tableau.calls, start.numel())

    def product() -> torch.Tensor:
        stack[0] = start.view(-1)
        x = start
        for i, output in enumerate(outputs):
            stack[1 + i] = output.reshape(-1)
            x = (torch.cat([first[i : i + 1], weights[i, : i + 1]]) @ stack[: i + 2]).view_as(start)
        return x

    return {"short sums": short, "rows as they stand": rows, "one matrix product": product}


def measure(contestants: dict[str, Run], rounds: int, steps: int) -> dict[str, list[float]]:
    """Microseconds of a step in each round; every round runs all, so that slow moments hit all."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for i in range(rounds + 2):
        for name, run in contestants.items():
            begun = time.perf_counter()
            run()
            if i >= 2:  # the first rounds warm up
                taken[name].append((time.perf_counter() - begun) / steps * 1e6)
    return taken


def compare(name: str, calls: int, rounds: int) -> dict[str, Any]:
    """One method with one number of calls, all in one run."""
    generator = torch.Generator().manual_seed(0)
    start, *outputs = (torch.randn(SHAPE, generator=generator) for _ in range(calls + 1))
    theirs = METHODS[name](**BETAS)
    schedule = from_diffusers(theirs, calls)
    base = stepping(theirs, calls, start, outputs)
    ours = {
        "FewstepScheduler": stepping(FewstepScheduler.from_schedule(schedule), calls, start, outputs),
        "fewstep.sample": sampling(schedule, start, outputs),
    }
    end = base()
    taken = measure({type(theirs).__name__: base} | ours | summing(schedule, start, outputs), rounds, calls)
    row: dict[str, Any] = {"method": name, "calls": calls}
    for word, of in (("microseconds", statistics.median), ("fastest", min)):
        row[word] = {key: round(of(times), 1) for key, times in taken.items()}
    for word, source in (("ratio", "microseconds"), ("ratio of the fastest", "fastest")):
        reference = row[source][type(theirs).__name__]
        row[word] = {key: round(row[source][key] / reference, 3) for key in ours}
    row["difference"] = {key: float((run() - end).abs().max() / end.abs().max()) for key, run in ours.items()}
    return row


def main(
    quick: Annotated[bool, typer.Option(help="Few rounds, to see that it runs.")] = False,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Where to write the JSON; else it is printed.")] = None,
) -> None:
    """Measure the overhead of a step."""
    warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept a copy keyword")
    torch.set_num_threads(threads)
    rows = [compare(name, calls, 3 if quick else 40) for name in METHODS for calls in CALLS]
    report = {
        "latents": SHAPE,
        "aim": AIM,
        "machine": {"processor": platform.machine(), "threads": threads, "torch": torch.__version__},
        "rows": rows,
        "met": all(
            ratio <= AIM for row in rows for ratio in (*row["ratio"].values(), *row["ratio of the fastest"].values())
        ),
    }
    text = json.dumps(report, indent=2)
    if out is None:
        typer.echo(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")


if __name__ == "__main__":
    typer.run(main)
