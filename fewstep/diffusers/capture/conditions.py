"""Conditions of a model folder, read off the inputs that a pipeline gives its network: embedded prompts and sizes.

No code is written for single families: the pipeline runs one step for each prompt, and what its network is called with
is kept under the names of `fewstep.models.conditions`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fewstep.diffusers.capture.denoiser import amid
from fewstep.diffusers.capture.from_pipeline import from_pipeline
from fewstep.diffusers.capture.networks import denoising
from fewstep.errors import InvalidModel

__all__ = ["network_conditions"]

NAMES = {  # of network inputs, those inside added_cond_kwargs included
    "encoder_hidden_states": "prompt",
    "pooled_projections": "pooled",
    "text_embeds": "pooled",
    "time_ids": "time_ids",
    "encoder_attention_mask": "mask",
}
NEGATIVE = {"prompt": "negative", "pooled": "negative_pooled", "mask": "negative_mask"}


def network_conditions(pipe: Any, prompts: Sequence[str], **call: Any) -> dict[str, torch.Tensor]:
    """The tensors of conditions.safetensors for ``prompts``, one condition each, as ``pipe`` called with ``call`` makes
    them; with guidance also the negatives, in one row where they are all the same.

    Prompts of different lengths are filled up with zeros and get a mask. Raises `InvalidModel` where the pipeline's
    network takes nothing that is known, or is not called once for prompt and negative prompt together.
    """
    denoiser = from_pipeline(pipe, prompts, batch=1, check=False, **call)
    network = next(iter(denoising(pipe).values()))
    calls: list[dict[str, Any]] = []

    def seen(module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        positional = {"encoder_hidden_states": args[2]} if len(args) > 2 else {}
        calls.append({**positional, **kwargs, **(kwargs.get("added_cond_kwargs") or {})})

    x, t = amid(denoiser)
    rows: dict[str, list[torch.Tensor]] = {}
    hook = network.register_forward_pre_hook(seen, with_kwargs=True)
    try:
        for i in range(len(prompts)):
            calls.clear()
            denoiser.bound([i])(x, t)
            if len(calls) != 1:
                raise InvalidModel(
                    f"{denoiser.name} calls its network {len(calls)} times a step, once for each prompt: folders take "
                    "networks that run both prompts together; tune the pipeline itself (fewstep tune)"
                )
            for name, value in calls[0].items():
                if name in NAMES and isinstance(value, torch.Tensor):
                    parts = value.detach().cpu().chunk(denoiser.passes)  # the negative prompt comes first
                    rows.setdefault(NAMES[name], []).append(parts[-1])
                    if len(parts) > 1 and NAMES[name] in NEGATIVE:
                        rows.setdefault(NEGATIVE[NAMES[name]], []).append(parts[0])
    finally:
        hook.remove()
    if "prompt" not in rows:
        raise InvalidModel(f"the network of {denoiser.name} takes no embedded prompts")
    return _stacked(rows)


def _stacked(rows: Mapping[str, list[torch.Tensor]]) -> dict[str, torch.Tensor]:
    stacked: dict[str, torch.Tensor] = {}
    for name, parts in rows.items():
        longest = max(part.shape[1] for part in parts)
        if name in ("prompt", "negative") and any(part.shape[1] != longest for part in parts):
            mask = "mask" if name == "prompt" else "negative_mask"
            if mask not in rows:
                stacked[mask] = _filled([torch.ones(part.shape[:2]) for part in parts], longest)
        stacked[name] = _filled(parts, longest)
    for name in set(NEGATIVE.values()) & set(stacked):
        if all(torch.equal(stacked[name][:1], row[None]) for row in stacked[name]):
            stacked[name] = stacked[name][:1].contiguous()
    return {name: value.contiguous() for name, value in stacked.items()}


def _filled(parts: Sequence[torch.Tensor], length: int) -> torch.Tensor:
    """Parts (1, L, …) in one tensor, shorter ones filled up with zeros along L."""
    whole = []
    for part in parts:
        fill = part.new_zeros(1, length - part.shape[1], *part.shape[2:])
        whole.append(torch.cat([part, fill], dim=1))
    return torch.cat(whole)
