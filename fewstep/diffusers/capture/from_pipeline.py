"""Any diffusers pipeline as a denoiser, by its own ``__call__``: one step of it for each call, up to its scheduler.

    denoiser = from_pipeline(pipe, prompts=["a fox", "a harbour at dawn"], guidance_scale=5.0)

No code is written for single networks. How states get in and what guidance costs is measured, and the outputs are
compared with those of the pipeline's own run (`fewstep.diffusers.capture.checks`). The user's pipeline stays as it is:
all that is changed is a copy of it, with the same networks.
"""

import copy
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from fewstep.diffusers.capture import checks
from fewstep.diffusers.capture.denoiser import PLACE, PipelineDenoiser, amid
from fewstep.diffusers.capture.entry import ENTRIES
from fewstep.diffusers.capture.guidance import ARGUMENTS, Guidance
from fewstep.diffusers.capture.memo import Memory
from fewstep.diffusers.capture.networks import check_hooks, counting, denoising
from fewstep.diffusers.capture.probe import probing
from fewstep.diffusers.installing import read_law
from fewstep.diffusers.signature import parameters_of
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models.reading import Plain, reading
from fewstep.processes import Flow

__all__ = ["from_pipeline", "remembering_view"]

# names of what a pipeline computes before its loop
REMEMBERED = re.compile(r"encode|_embeds$|^prepare_(?!latents|intermediate|extra)")
LINEAR = 1e-2  # how far what comes out may be off a multiple of what went in


def from_pipeline(
    pipe: Any,
    prompts: Sequence[str] | None = None,
    conditions: Sequence[Mapping[str, Any]] | None = None,
    batch: int = 8,
    check: bool = True,
    **call: Any,
) -> PipelineDenoiser:
    """The denoiser of a diffusers pipeline that is called with ``call``, as guidance_scale or height.

    ``prompts``, or more generally ``conditions`` with arguments of single samples such as ``{"prompt": "a fox",
    "image": tensor (1, ...)}``, are taken in turn by the samples of a batch, of which at most ``batch`` run together.
    The denoiser's states are the pipeline's latents; `sample` turns noise (B, *denoiser.shape) into them. Conditions
    are encoded once. Without ``check`` the pipeline's own steps are not repeated for comparison.

    Raises `InvalidInput` for arguments that the pipeline does not have, `InvalidModel` where its step is no function of
    state and time, with the reason.
    """
    given = _conditions(pipe, prompts, conditions, call)
    check_hooks(pipe)
    memory = Memory()
    view = _view(pipe, memory)
    trial = Plain(Flow(), "flow", float(pipe.scheduler.config.get("num_train_timesteps") or 1000))
    denoiser = PipelineDenoiser(pipe, view, trial, call, given, memory, batch)
    with torch.no_grad():
        first = denoiser.step(None, torch.tensor([PLACE]), [0])
        if first.sample is None:
            raise InvalidModel(f"{type(pipe).__name__} called its scheduler's step without a state")
        shape = tuple(first.sample.shape[1:])
        mu = first.request.get("mu")
        denoiser = replace(denoiser, reading=reading(read_law(pipe, mu)), shape=shape, mu=mu)
        denoiser = _guidance(_entry(denoiser))
        if check:
            checks.replay(denoiser)
            denoiser = checks.batches(denoiser)
    return denoiser


def _conditions(
    pipe: Any,
    prompts: Sequence[str] | None,
    conditions: Sequence[Mapping[str, Any]] | None,
    call: Mapping[str, Any],
) -> tuple[Mapping[str, Any], ...]:
    if prompts is not None and conditions is not None:
        raise InvalidInput("give prompts or conditions, not both: a condition may hold its prompt")
    if isinstance(prompts, str):
        raise InvalidInput(f"prompts is a list of prompts, got the string {prompts[:40]!r}")
    given = tuple(conditions or ()) if prompts is None else tuple({"prompt": prompt} for prompt in prompts)
    if (prompts is not None or conditions is not None) and not given:
        raise InvalidInput("prompts and conditions are lists of one entry at least; leave them out for none")
    if any(set(each) != set(given[0]) for each in given):
        raise InvalidInput(f"every condition has the same arguments as the first: {', '.join(given[0])}")
    accepts = parameters_of(pipe)
    unknown = [name for name in {**call, **(given[0] if given else {})} if name not in accepts]
    if unknown:
        raise InvalidInput(
            f"{type(pipe).__name__} takes no {' or '.join(map(repr, unknown))}; it takes {', '.join(list(accepts)[1:])}"
        )
    return given or ({},)


def _view(pipe: Any, memory: Memory) -> Any:
    """A copy of the pipeline with a probe for a scheduler."""
    view = remembering_view(pipe, memory)
    vars(view).update(scheduler=probing(pipe.scheduler), _progress_bar_config={"disable": True})
    return view


def remembering_view(pipe: Any, memory: Memory) -> Any:
    """A copy of the pipeline that remembers what it does before its loop, and has a list of its ``networks``."""
    view = copy.copy(pipe)
    vars(view)["networks"] = list(denoising(pipe).values())
    for name, _ in inspect.getmembers(type(view), inspect.isfunction):
        if REMEMBERED.search(name) and "check" not in name:
            vars(view)[name] = memory.remembering(getattr(view, name))
    return view


def _entry(denoiser: PipelineDenoiser) -> PipelineDenoiser:
    """The denoiser with the first way in whose states come to the step as they are, or times a number."""
    failures, (x, t) = list[str](), amid(denoiser)
    for entry in ENTRIES:
        try:
            sample = replace(denoiser, entry=entry).step(x, t, [0]).sample
        except Exception as error:  # a pipeline may refuse a way in any manner
            failures.append(f"{entry}: {type(error).__name__} {str(error)[:80]}")
            continue
        out = None if sample is None else sample[:1].to(x)
        if out is not None and out.shape == x.shape:
            factor = float((out * x).sum() / (x * x).sum())
            if factor > LINEAR and float((out - factor * x).abs().max()) < 2 * LINEAR * factor:
                return replace(denoiser, entry=entry, factor=1.0 if abs(factor - 1) < LINEAR else factor)
        failures.append(f"{entry}: the step saw another state")
    raise InvalidModel(
        f"there is no way to give {denoiser.name} its states, so its steps cannot be searched. Tried: "
        + "; ".join(failures)
    )


def _guidance(denoiser: PipelineDenoiser) -> PipelineDenoiser:
    """The denoiser with what guidance costs it: passes are counted at the user's scale and without guidance."""
    accepts, (x, t) = parameters_of(denoiser.view), amid(denoiser)
    with counting(denoiser.view) as count:

        def passes(**more: float) -> tuple[int, torch.Tensor]:
            count[0] = 0
            trial = replace(denoiser, call={**denoiser.call, **more})
            output = trial.output(trial.step(x, t, [0]), x)
            return count[0], output

        usual, output = passes()
        for name in (name for name in ARGUMENTS if name in accepts):
            own = denoiser.call.get(name, accepts[name].default)
            if not isinstance(own, int | float):
                continue
            for offset in (0.0, -1.0):
                try:
                    without = passes(**{name: 1.0 + offset})[0]
                except Exception:  # a pipeline may fail without guidance in any manner
                    continue
                if without < usual:
                    guidance = Guidance(name, offset, usual, without, float(own) - offset)
                    return replace(denoiser, guidance=guidance)
            more, other = passes(**{name: own + 1.0})
            if more == usual and not torch.equal(other, output):  # an input of the network
                return replace(denoiser, guidance=Guidance(name, 0.0, usual, usual, float(own)))
    return replace(denoiser, guidance=Guidance(passes=usual, without=usual))
