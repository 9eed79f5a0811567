"""A search of a network of 16 million parameters on a CPU: its calls, seconds and memory.

``python -m benchmarks.large [--nfe N] [--threads N] [--quick] [--out FOLDER]`` writes ``large.json`` and ``large.md``.
The network is a UNet2DConditionModel on latents of 4 × 64 × 64, with random weights and flow matching: what is measured
is what a search costs, not what it gains. It is a quick search, on the fewest test noises.
"""

import json
import os
import platform
import resource
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers import UNet2DConditionModel

from fewstep import models, processes
from fewstep.models import Denoiser
from fewstep.search.find import find
from fewstep.search.log import Callbacks

SIZE, CHANNELS, TOKENS, WIDTH = 64, 4, 8, 64
BLOCKS = (64, 128, 256)
SEED = 0
FOLDER = Path("docs/benchmarks")
GIB = 2**30
RSS_UNIT = 1024  # bytes, of ru_maxrss on Linux


def network(blocks: tuple[int, ...], size: int) -> Any:
    """The U-Net, with random weights."""
    torch.manual_seed(SEED)
    down = ("DownBlock2D", *["CrossAttnDownBlock2D"] * (len(blocks) - 1))
    up = (*["CrossAttnUpBlock2D"] * (len(blocks) - 1), "UpBlock2D")
    unet: Any = UNet2DConditionModel(  # type: ignore[no-untyped-call]
        sample_size=size,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=down,
        up_block_types=up,
        block_out_channels=blocks,
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
    )
    return unet.eval().requires_grad_(False)


def denoiser_of(unet: Any) -> Denoiser:
    """The network under one condition, as a velocity of flow matching."""
    tokens = torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(SEED))

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = unet(x, 1000 * t, tokens.expand(len(x), -1, -1)).sample
        return output

    return models.from_callable(velocity, processes.Flow(), prediction="flow")


def peak() -> float:
    """The most memory that this process has had so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / GIB


def measured(nfe: int, threads: int, quick: bool) -> dict[str, Any]:
    """The report of one search."""
    torch.set_num_threads(threads)
    size = 8 if quick else SIZE
    unet = network((32, 32) if quick else BLOCKS, size)
    shape = (CHANNELS, size, size)
    denoiser = denoiser_of(unet)
    denoiser(torch.zeros(1, *shape), torch.ones(1))
    before, began, cpu = peak(), time.perf_counter(), time.process_time()
    phases: list[str] = []

    def progress(phase: str, done: int, total: int) -> None:
        if phase not in phases:
            phases.append(phase)
            typer.echo(f"{time.perf_counter() - began:7.0f} s  {phase}, {total} to do")

    result = find(denoiser, nfe, shape, effort="quick", seed=SEED, on=Callbacks(progress=progress))
    return {
        "parameters": sum(each.numel() for each in unet.parameters()),
        "shape": shape,
        "nfe": nfe,
        "threads": threads,
        "search_calls": result.cost.search_calls,
        "test_calls": result.cost.test_calls,
        "test_noises": result.score.noises,
        "seconds": round(time.perf_counter() - began),
        "cpu_seconds": round(time.process_time() - cpu),
        "model_gib": round(before, 2),
        "peak_gib": round(peak(), 2),
        "baseline": result.baseline.name,
        "ratio": round(result.ratio, 3),
        "verdict": result.verdict,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__},
    }


def page(report: dict[str, Any]) -> str:
    """The report as a page."""
    calls = report["search_calls"] + report["test_calls"]
    return f"""# A search of a larger network on a CPU

`python -m benchmarks.large`: a quick search at {report["nfe"]} calls of a UNet2DConditionModel of
{report["parameters"] / 1e6:.1f} million parameters on latents of {" × ".join(map(str, report["shape"]))}, with random
weights and flow matching, on {report["threads"]} threads of {report["machine"]["cpus"]} CPU
cores, other work beside it.

| | |
|---|---|
| calls of the search | {report["search_calls"]:,} |
| calls of the test, on {report["test_noises"]} unseen noises | {report["test_calls"]:,} |
| seconds, start to end | {report["seconds"]:,} |
| CPU seconds | {report["cpu_seconds"]:,} ({report["cpu_seconds"] / calls:.2f} a call) |
| most memory before the search, with torch and the network | {report["model_gib"]:.2f} GiB |
| most memory in all | {report["peak_gib"]:.2f} GiB |
| mean distance over the best baseline's ({report["baseline"]}) | {report["ratio"]:.3f} |

The weights are random: the ratio says that the search ended and published, not what a trained network gains.
"""


def main(
    nfe: Annotated[int, typer.Option(help="Network calls per sample.")] = 8,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = 2,
    quick: Annotated[bool, typer.Option(help="A small network: whether it runs.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = FOLDER,
) -> None:
    """Search, and write the report."""
    report = measured(nfe, threads, quick)
    out.mkdir(parents=True, exist_ok=True)
    (out / "large.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "large.md").write_text(page(report))
    typer.echo(page(report))


if __name__ == "__main__":
    typer.run(main)
