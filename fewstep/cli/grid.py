"""``fewstep grid``: a model's score-optimal grid as JSON, measured here or fetched from the service."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fewstep.cli.files import write
from fewstep.cli.options import URL, Url
from fewstep.client import Client
from fewstep.errors import InvalidInput
from fewstep.grids.arc_length import BLEND, KINDS, ArcLength
from fewstep.grids.measured import MeasuredGrid
from fewstep.values.problem import MAX_NFE

__all__ = ["measure_grid"]

MEASURE_OPTIONS = ("kind", "samples", "seed", "data")  # options that say how to measure


def measure_grid(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model of the zoo, or a model folder; or one of the service's.")
    ],
    nfe: Annotated[int, typer.Option(help="Network calls per sample.", min=1, max=MAX_NFE)],
    blend: Annotated[float, typer.Option(help="1: score-optimal alone; 0: even in log-SNR.", min=0, max=1)] = BLEND,
    kind: Annotated[str, typer.Option(help=f"What the cost assumes of a step: {' or '.join(KINDS)}.")] = "corrector",
    samples: Annotated[int, typer.Option(help="States measured at each noise level.", min=2, max=4096)] = 128,
    seed: Annotated[int, typer.Option(help="Seed of the noise.", min=0, max=2**63 - 1)] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Clean samples as .npy; by default the model's own flow gives the states.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; standard output by default.")] = None,
    server: Annotated[bool, typer.Option("--server", help="Ask the service for what a search measured.")] = False,
    url: Url = URL,
) -> None:
    """A model's score-optimal grid: times between which its scores change evenly. Measured here, or by the service."""
    if server:
        _refuse_measure_options(context)
        with Client(url) as client:
            grid = client.grid(model, nfe, blend)
        states = f"a search at {url}"
    else:
        arc = _measure(model, kind, samples, seed, data)
        grid = MeasuredGrid.of(arc, model, nfe, blend)
        states = "the model's own flow" if data is None else str(data)
    text = grid.to_json(indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write(output, text.encode())
    origin = f"{grid.curve.samples} states a level from {states}, {grid.curve.calls} network calls"
    typer.echo(f"{nfe + 1} times; {origin}", err=True)


def _refuse_measure_options(context: typer.Context) -> None:
    sources = {name: context.get_parameter_source(name) for name in MEASURE_OPTIONS}
    conflicts = [f"--{name}" for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if conflicts:
        raise InvalidInput(f"the service has measured already: leave out {', '.join(conflicts)}, or drop --server")


def _measure(model: str, kind: str, samples: int, seed: int, data: Path | None) -> ArcLength:
    import torch

    from fewstep.grids import score_optimal
    from fewstep.models.reference import ModelReference

    denoiser, shape = ModelReference.at(model).open()
    clean = None if data is None else torch.from_numpy(_clean(data, shape))
    noise = torch.randn(samples if clean is None else len(clean), *shape, generator=torch.Generator().manual_seed(seed))
    return score_optimal.measure(denoiser.bound(range(len(noise))), noise, clean, kind=kind)


def _clean(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Clean samples (n, *shape), float32."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read clean samples from {path}: {error}") from error
    if not isinstance(array, np.ndarray) or array.shape[1:] != shape or len(array) < 2 or array.dtype.kind not in "fiu":
        kind = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise InvalidInput(f"clean samples are numbers (n, {', '.join(map(str, shape))}) with n >= 2, got {kind}")
    return array.astype(np.float32)
