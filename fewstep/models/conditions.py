"""The conditions that a model is searched under: class labels or prompt embeddings, stored beside its weights.

| tensor | shape | dtype | meaning |
|---|---|---|---|
| labels | (n,) | int64 | classes |
| prompt | (n, L, D) | float | embedded prompts |
| pooled | (n, P) | float | pooled embeddings, for networks that take them |
| time_ids | (n or 1, 6) | float | sizes and crops, for SDXL's |
| negative_labels, negative, negative_pooled | n or 1 rows | as above | what guidance leads away from |

A class-conditional network needs no file: every class is a condition, and guidance leads away from its last class, the
one that such networks are trained to read as none.
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
NEGATIVES = {"negative_labels": LABELS, "negative": "prompt", "negative_pooled": "pooled"}
DIMENSIONS = {LABELS: 1, "prompt": 3, "pooled": 2, "time_ids": 2}
INTEGERS = ("I64", "I32")
NEEDS = {"SD3Transformer2DModel": ("prompt", "pooled"), "FluxTransformer2DModel": ("prompt", "pooled")}


def needs(network: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the tensors that a network cannot do without."""
    if network == "UNet2DConditionModel":
        return ("prompt", "pooled", "time_ids") if config.get("addition_embed_type") == "text_time" else ("prompt",)
    if network in NEEDS:
        return NEEDS[network]
    return (LABELS,) if classes(config) else ()


def classes(config: Mapping[str, Any]) -> int:
    """How many classes a network's config names, the one for none left out where it is counted apart; 0 for none.

    >>> classes({"num_class_embeds": 10})
    10
    """
    found = config.get("num_class_embeds") or config.get("num_embeds_ada_norm") or 0
    return found if type(found) is int and found > 0 else 0


def guided(config: Mapping[str, Any], guidance: float) -> bool:
    """Whether guidance takes a second pass; a distilled network is told its guidance instead.

    >>> guided({}, 7.5), guided({"guidance_embeds": True}, 7.5), guided({}, 1.0)
    (True, False, False)
    """
    return guidance != 1.0 and not config.get("guidance_embeds")


def count(path: Path | None, network: str, config: Mapping[str, Any], guidance: float) -> int:
    """How many conditions there are, by the file's header alone; raises `InvalidModel` where one is missing or odd."""
    wanted = needs(network, config)
    if path is None:
        if wanted not in ((), (LABELS,)):
            raise InvalidModel(f"a {network} wants conditions.safetensors with {' and '.join(wanted)}")
        return classes(config)
    entries = {entry.name: entry for entry in header.check(path)}
    if unknown := sorted(set(entries) - set(DIMENSIONS) - set(NEGATIVES)):
        known = ", ".join((*DIMENSIONS, *NEGATIVES))
        raise InvalidModel(f"{path.name} has unknown tensors {str(unknown)[:120]}; known: {known}")
    for name, entry in entries.items():
        kind = NEGATIVES.get(name, name)
        if len(entry.shape) != DIMENSIONS[kind] or 0 in entry.shape or (entry.dtype in INTEGERS) != (kind == LABELS):
            raise InvalidModel(
                f"{path.name}: {name} wants {DIMENSIONS[kind]} dimensions of "
                f"{'int64' if kind == LABELS else 'floats'}, none of them empty; got {entry.shape} of {entry.dtype}"
            )
    if missing := [name for name in wanted if name not in entries]:
        raise InvalidModel(f"{path.name} lacks {' and '.join(missing)}, which a {network} wants")
    if not wanted:
        raise InvalidModel(f"{path.name} is there, but this network takes no conditions: leave it out")
    total = entries[wanted[0]].shape[0]
    if odd := [name for name, entry in entries.items() if entry.shape[0] not in (1, total)]:
        raise InvalidModel(f"{path.name} has {total} conditions in {wanted[0]}, but another number in {odd}")
    for negative, kind in NEGATIVES.items():
        if guided(config, guidance) and kind != LABELS and kind in wanted and negative not in entries:
            raise InvalidModel(f"guidance leads away from {negative}, which {path.name} lacks: add it, or guide by 1")
        if negative in entries and kind in entries and entries[negative].shape[1:] != entries[kind].shape[1:]:
            raise InvalidModel(f"{path.name}: {negative} and {kind} differ in shape beyond their first dimension")
    return total


def load(
    path: Path | None, total: int, config: Mapping[str, Any], dtype: "torch.dtype", device: str
) -> "tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]":
    """Conditions and negatives by name, floats in ``dtype``, on ``device``; ``total`` is what `count` said."""
    import safetensors.torch
    import torch

    every = {LABELS: torch.arange(total)} if total else {}
    stored = every if path is None else safetensors.torch.load_file(path)
    if LABELS in stored:
        last = config.get("num_embeds_ada_norm") or classes(config) - 1
        stored.setdefault("negative_labels", torch.tensor([last]))
    cast = {
        name: value.to(device, dtype if value.is_floating_point() else torch.int64) for name, value in stored.items()
    }
    given = {name: value for name, value in cast.items() if name not in NEGATIVES}
    return given, given | {NEGATIVES[name]: value for name, value in cast.items() if name in NEGATIVES}
