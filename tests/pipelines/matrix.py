"""The parity of every tiny pipeline: captured outputs against its own run, and its run with an installed schedule.

``python -m tests.pipelines.matrix`` writes docs/pipelines.json and the table in docs/pipelines.md; names after it take
single rows anew.
"""

import inspect
import json
import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import fewstep
from fewstep import solvers
from fewstep.diffusers import FewstepScheduler, install, uninstall
from fewstep.diffusers.capture.checks import GenuineStep, batches, deviation
from fewstep.diffusers.capture.denoiser import PipelineDenoiser
from fewstep.diffusers.capture.entry import Argument, Drawn
from fewstep.diffusers.capture.from_pipeline import from_pipeline
from fewstep.diffusers.capture.memo import Memory
from fewstep.diffusers.capture.networks import counting
from fewstep.diffusers.signature import parameters_of
from fewstep.errors import FewstepError
from fewstep.sampling import plan
from tests.pipelines.builders.tiny import Tiny
from tests.pipelines.genuine import record
from tests.pipelines.table import LEFT_OUT, PIPELINES

__all__ = ["EXACT", "SAME", "Blended", "Row", "captured", "installed", "parity", "refusal", "row"]

EXACT = 1e-5  # of outputs and of samples, as a share of the largest
SAME = 2e-5  # the same but for the rounding of states that a scheduler has scaled in float32
CALLS = 4  # of the installed schedule
SCALED = ("EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "LMSDiscrete", "KDPM2")  # states are x / α
REPORT = Path("docs/pipelines.json")
PAGE = Path("docs/pipelines.md")
BEGIN, END = "<!-- matrix -->", "<!-- end of matrix -->"


class Blended(Exception):
    """The pipeline changes its latents between the steps, as inpainting does."""


@dataclass(frozen=True)
class Row:
    """A pipeline's parity: how its states get in, passes of a call as it is called here and without guidance, whether
    samples run together, the largest ``deviation`` of captured outputs and of ``installed`` samples with their calls
    (None: not run), and the ``reason`` where it is refused."""

    name: str
    process: str = ""
    entry: str = ""
    passes: int = 0
    without: int = 0
    together: bool = False
    deviation: float | None = None
    installed: float | None = None
    calls: int = 0
    reason: str = ""


def captured(tiny: Tiny) -> PipelineDenoiser:
    """The denoiser of a tiny pipeline, without the checks that would refuse it."""
    return from_pipeline(tiny.pipe, conditions=tiny.conditions, check=False, **tiny.call)


def parity(tiny: Tiny, denoiser: PipelineDenoiser) -> float:
    """The largest deviation of captured outputs from those of the pipeline's own run, recorded from outside."""
    name = type(tiny.pipe.scheduler).__name__
    steps: dict[float, Any] = {step.timestep: step for step in record(tiny)}  # of several at one time the last
    worst = 0.0
    for network_time, step in steps.items():
        state = step.sample
        if name.startswith(SCALED) and denoiser.process.kind == "discrete":
            state = state * denoiser.process.alpha(torch.tensor(network_time, dtype=torch.float64)).float()
        worst = max(worst, deviation(denoiser, GenuineStep(network_time, state, step.model_output)))
    return worst


def installed(tiny: Tiny, denoiser: PipelineDenoiser) -> tuple[float, int]:
    """How far the samples of the pipeline with an installed schedule are from `fewstep.sample`, and its calls.

    A pipeline that begins amid the schedule is compared with what is left of it. Raises `Blended` where it changes its
    latents between the steps.
    """
    pipe, process = tiny.pipe, denoiser.process
    schedule = solvers.named("dpmpp-2m").schedule(process, nfe=CALLS)
    noise = torch.randn((1, *denoiser.shape), generator=torch.Generator().manual_seed(3))
    scaled = isinstance(denoiser.entry, Argument | Drawn)  # by the pipeline, to its scheduler's start
    start = (noise if scaled else process.prior_std * noise) / denoiser.factor
    states: list[torch.Tensor] = []
    own = FewstepScheduler.step

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = own(self, *args, **kwargs)
        sample = kwargs.get("sample", args[2] if len(args) > 2 else None)
        if states and self.network_spec.preconditioning == "none" and not torch.allclose(sample, states[-1], atol=1e-4):
            raise Blended(
                "it changes its latents between the steps, so its samples are not those of the schedule alone"
            )
        states.append(output[0])
        return output

    step.__signature__ = inspect.signature(own)  # type: ignore[attr-defined]
    install(pipe, schedule)
    try:
        with (
            patch.object(FewstepScheduler, "step", step),
            counting(pipe) as rows,
            torch.no_grad(),
            denoiser.entry.enter(pipe, start, "start", Memory()) as more,  # type: ignore[union-attr]
        ):
            torch.manual_seed(0)
            generator = torch.Generator().manual_seed(0)
            arguments = {**denoiser.arguments([0]), **more, "generator": generator}
            arguments |= {"num_inference_steps": CALLS}
            pipe(**{name: value for name, value in arguments.items() if name in parameters_of(pipe)})
    finally:
        uninstall(pipe)
    calls = rows[0] // denoiser.passes
    left = plan.tail(fewstep.compile(schedule), process, CALLS - calls)
    wanted, got = fewstep.sample(denoiser.bound([0]), left, noise), states[-1][:1]
    return float((got - wanted).abs().max() / wanted.abs().max()), calls


def refusal(tiny: Tiny) -> str:
    """Why `from_pipeline` refuses a pipeline, "" where it does not."""
    try:
        from_pipeline(tiny.pipe, conditions=tiny.conditions, **tiny.call)
    except FewstepError as error:
        return str(error)
    return ""


def row(name: str) -> Row:
    """The row of one pipeline."""
    tiny = PIPELINES[name]()
    reason = refusal(tiny)
    if reason:
        return Row(name, reason=reason)
    denoiser = captured(tiny)
    entry = denoiser.entry
    way = getattr(entry, "method", None) or ("latents" if isinstance(entry, Argument) else "randn_tensor")
    facts = (denoiser.process.kind, way, denoiser.passes, denoiser.guidance.without)
    together = batches(denoiser).batch > 1
    deviation = parity(tiny, denoiser)
    try:
        apart, calls = installed(tiny, denoiser)
    except Blended as error:
        return Row(name, *facts, together, deviation, calls=CALLS, reason=f"served, but {error}")
    except (FewstepError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        return Row(name, *facts, together, deviation, reason=f"not installed: {type(error).__name__}: {error}")
    return Row(name, *facts, together, deviation, apart, calls)


def table(rows: list[Row]) -> str:
    """The rows as a table of the page."""
    lines = [
        "| pipeline | process | states enter by | passes, without guidance | samples together | captured off by | "
        "installed off by | calls |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in sorted(rows, key=lambda each: each.name):
        if each.deviation is None:
            continue
        apart = f"{each.installed:.0e}" if each.installed is not None else "–"
        lines.append(
            f"| {each.name} | {each.process} | {each.entry} | {each.passes}, {each.without} | "
            f"{'yes' if each.together else 'one by one'} | {each.deviation:.0e} | {apart} | {each.calls or '–'} |"
        )
    noted = [each for each in sorted(rows, key=lambda each: each.name) if each.reason]
    lines += ["", "| not served, or not in this way | reason |", "|---|---|"]
    lines += [f"| {each.name} | {' '.join(each.reason.split())[:400].replace('|', '/')} |" for each in noted]
    refused = [each for each in noted if each.deviation is None]
    lines += [f"| {name} | not built here: {reason} |" for name, reason in sorted(LEFT_OUT.items())]
    exact = [r for r in rows if r.deviation is not None and r.deviation <= EXACT]
    same = [r for r in exact if r.installed is not None and r.installed <= EXACT]
    counts = (
        f"{len(rows)} classes built, {len(exact)} captured exactly (to {EXACT:g}), {len(same)} of these give the "
        f"samples of `fewstep.sample` with an installed schedule, {len(refused)} are not served."
    )
    return f"{counts}\n\n" + "\n".join(lines)


def main(names: list[str]) -> None:
    """Measure rows and write them."""
    import diffusers
    import transformers

    warnings.simplefilter("ignore")
    for library in (diffusers.utils, transformers):
        library.logging.set_verbosity_error()
    torch.set_num_threads(1)
    stored = {each["name"]: Row(**each) for each in json.loads(REPORT.read_text())} if REPORT.exists() else {}
    for name in names or PIPELINES:
        try:
            stored[name] = row(name)
        except Exception as error:  # a fault to mend: the other rows are worth having
            print(f"{name} failed: {type(error).__name__}: {error}", flush=True)
            continue
        print(stored[name], flush=True)
    rows = [stored[name] for name in PIPELINES if name in stored]
    REPORT.write_text("[\n" + ",\n".join(json.dumps(asdict(each)) for each in rows) + "\n]\n")
    if PAGE.exists():
        text = PAGE.read_text()
        head, tail = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(f"{head}{BEGIN}\n{table(rows)}\n{END}{tail}")


if __name__ == "__main__":
    main(sys.argv[1:])
