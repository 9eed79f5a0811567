"""``fewstep grid``: measure a model's score-optimal grid and write its times as JSON."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from fewstep import score_optimal
from fewstep.arc_length import BLEND, KINDS
from fewstep.errors import InvalidInput
from fewstep.files import write
from fewstep.models.base import bound
from fewstep.models.reference import ModelReference
from fewstep.problem import MAX_NFE

__all__ = ["measure_grid"]

FORMAT, VERSION = "fewstep.grid", 1


def measure_grid(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the zoo, or a model folder.")],
    nfe: Annotated[int, typer.Option(help="Network calls per sample.", min=1, max=MAX_NFE)],
    blend: Annotated[float, typer.Option(help="1: score-optimal alone; 0: even in log-SNR.", min=0, max=1)] = BLEND,
    kind: Annotated[str, typer.Option(help=f"What the cost assumes of a step: {' or '.join(KINDS)}.")] = "corrector",
    samples: Annotated[int, typer.Option(help="States measured at each noise level.", min=2, max=4096)] = 128,
    seed: Annotated[int, typer.Option(help="Seed of the noise.", min=0, max=2**63 - 1)] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Clean samples as .npy; by default the model's own flow gives the states.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; standard output by default.")] = None,
) -> None:
    """Measure a model's score-optimal grid: times between which its scores change evenly."""
    denoiser, shape = ModelReference.at(model).open()
    clean = None if data is None else _clean(data, shape)
    noise = torch.randn(samples if clean is None else len(clean), *shape, generator=torch.Generator().manual_seed(seed))
    arc = score_optimal.measure(bound(denoiser, range(len(noise))), noise, clean, kind=kind)
    times = arc.times(nfe, blend)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "model": model,
        "nfe": nfe,
        "blend": blend,
        "times": list(times),
        "curve": arc.to_dict(),
    }
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write(output, text.encode())
    states = "the model's own flow" if clean is None else str(data)
    typer.echo(f"{nfe + 1} times; {arc.samples} states a level from {states}, {arc.calls} network calls", err=True)


def _clean(path: Path, shape: tuple[int, ...]) -> torch.Tensor:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read clean samples from {path}: {error}") from error
    if not isinstance(found, np.ndarray) or found.shape[1:] != shape or len(found) < 2 or found.dtype.kind not in "fiu":
        given = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else "an archive"
        raise InvalidInput(f"clean samples are numbers (n, {', '.join(map(str, shape))}) with n >= 2, got {given}")
    return torch.from_numpy(found.astype(np.float32))
