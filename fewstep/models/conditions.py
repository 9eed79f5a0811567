"""Conditions of a model: class labels or prompt embeddings, stored beside its weights; a search runs under each.

| tensor | shape | dtype | meaning |
|---|---|---|---|
| labels | (n,) | int64 | classes |
| prompt | (n, L, D) | float | embedded prompts |
| pooled | (n, P) | float | pooled embeddings, for networks that take them |
| mask | (n, L) | float | 1 where a prompt is, 0 where it was filled up, for networks that take it |
| time_ids | (n or 1, 6) | float | sizes and crops, for SDXL's |
| negative_labels, negative, negative_pooled, negative_mask | n or 1 rows | as above | what guidance leads away from |

A class-conditional network needs no file: every class is a condition. Guidance leads away from its last class, which
such networks are trained to read as "no class".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewstep.errors import InvalidModel
from fewstep.models import header

if TYPE_CHECKING:
    import torch

__all__ = ["classes", "count", "guided", "load", "needs"]

LABELS = "labels"
NEGATIVES = {"negative_labels": LABELS, "negative": "prompt", "negative_pooled": "pooled", "negative_mask": "mask"}
DIMENSIONS = {LABELS: 1, "prompt": 3, "pooled": 2, "mask": 2, "time_ids": 2}
MASKED = ("UNet2DConditionModel",)  # networks that take a mask
INTEGERS = ("I64", "I32")
NEEDS = {"SD3Transformer2DModel": ("prompt", "pooled"), "FluxTransformer2DModel": ("prompt", "pooled")}


def needs(network: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the tensors that a network requires."""
    if network == "UNet2DConditionModel":
        return ("prompt", "pooled", "time_ids") if config.get("addition_embed_type") == "text_time" else ("prompt",)
    if network in NEEDS:
        return NEEDS[network]
    return (LABELS,) if classes(config) else ()


def classes(config: Mapping[str, Any]) -> int:
    """Number of classes in a network's config, without the "no class" entry where that is counted apart; 0 for none.

    >>> classes({"num_class_embeds": 10})
    10
    """
    total = config.get("num_class_embeds") or config.get("num_embeds_ada_norm") or 0
    return total if type(total) is int and total > 0 else 0


def guided(config: Mapping[str, Any], guidance: float) -> bool:
    """Whether guidance takes a second pass; a distilled network takes its guidance scale as an input instead.

    >>> guided({}, 7.5), guided({"guidance_embeds": True}, 7.5), guided({}, 1.0)
    (True, False, False)
    """
    return guidance != 1.0 and not config.get("guidance_embeds")


def count(path: Path | None, network: str, config: Mapping[str, Any], guidance: float) -> int:
    """Number of conditions, from the file's header alone; raises `InvalidModel` where a tensor is missing or wrong."""
    required = needs(network, config)
    if path is None:
        if required not in ((), (LABELS,)):
            raise InvalidModel(f"a {network} wants conditions.safetensors with {' and '.join(required)}")
        return classes(config)
    entries = {entry.name: entry for entry in header.check(path)}
    unknown = sorted(set(entries) - set(DIMENSIONS) - set(NEGATIVES))
    if unknown:
        names = ", ".join((*DIMENSIONS, *NEGATIVES))
        raise InvalidModel(f"{path.name} has unknown tensors {str(unknown)[:120]}; known: {names}")
    for name, entry in entries.items():
        kind = NEGATIVES.get(name, name)
        if len(entry.shape) != DIMENSIONS[kind] or 0 in entry.shape or (entry.dtype in INTEGERS) != (kind == LABELS):
            raise InvalidModel(
                f"{path.name}: {name} wants {DIMENSIONS[kind]} dimensions of "
                f"{'int64' if kind == LABELS else 'floats'}, none of them empty; got {entry.shape} of {entry.dtype}"
            )
    missing = [name for name in required if name not in entries]
    if missing:
        raise InvalidModel(f"{path.name} lacks {' and '.join(missing)}, which a {network} wants")
    if not required:
        raise InvalidModel(f"{path.name} is there, but this network takes no conditions: leave it out")
    if "mask" in entries and network not in MASKED:
        raise InvalidModel(
            f"{path.name} has a mask, which a {network} does not take: fill up prompts when embedding them"
        )
    total = entries[required[0]].shape[0]
    uneven = [name for name, entry in entries.items() if entry.shape[0] not in (1, total)]
    if uneven:
        raise InvalidModel(f"{path.name} has {total} conditions in {required[0]}, but another number in {uneven}")
    for negative, kind in NEGATIVES.items():
        if kind == "mask" and kind in entries and guided(config, guidance) and negative not in entries:
            raise InvalidModel(f"{path.name} has a mask, but no {negative}, which guidance takes beside it")
        if guided(config, guidance) and kind != LABELS and kind in required and negative not in entries:
            raise InvalidModel(f"guidance leads away from {negative}, which {path.name} lacks: add it, or guide by 1")
        if negative in entries and kind in entries and entries[negative].shape[1:] != entries[kind].shape[1:]:
            raise InvalidModel(f"{path.name}: {negative} and {kind} differ in shape beyond their first dimension")
    return total


def load(
    path: Path | None, total: int, config: Mapping[str, Any], dtype: "torch.dtype", device: str
) -> "tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]":
    """Conditions and negatives by name, floats in ``dtype``, on ``device``; ``total`` is the number from `count`."""
    import safetensors.torch
    import torch

    classes_only = {LABELS: torch.arange(total)} if total else {}
    tensors = classes_only if path is None else safetensors.torch.load_file(path)
    if LABELS in tensors:
        last = config.get("num_embeds_ada_norm") or classes(config) - 1
        tensors.setdefault("negative_labels", torch.tensor([last]))
    cast = {
        name: value.to(device, dtype if value.is_floating_point() else torch.int64) for name, value in tensors.items()
    }
    positive = {name: value for name, value in cast.items() if name not in NEGATIVES}
    negative = {NEGATIVES[name]: value for name, value in cast.items() if name in NEGATIVES}
    return positive, positive | negative
