"""``python -m training --recipe NAME``: rebuild a model of the zoo from its recipe and seed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer

from training import recipes

Name = StrEnum("Name", {name: name for name in recipes.RECIPES})  # type: ignore[misc]  # the command line's choices


def main(
    recipe: Annotated[Name, typer.Option(help="Which model to rebuild.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; by default over the zoo's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the recipe.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    start: Annotated[Path | None, typer.Option(help="Folder of a trained network to go on from.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's; networks only.")] = None,
) -> None:
    """Rebuild a model of the zoo."""
    torch.set_num_threads(threads)
    path = out or recipes.WEIGHTS / (
        recipe.value if recipe.value in recipes.NETWORKS else f"{recipe.value}.safetensors"
    )
    if recipe.value in recipes.NETWORKS:
        recipes.build(recipe.value, path, seed, start, iterations)
    elif start or iterations:
        raise typer.BadParameter(f"--start and --iterations are for networks, which {recipe.value} is not")
    else:
        recipes.RECIPES[recipe.value](path, seed)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    typer.echo(f"wrote {path} ({sum(file.stat().st_size for file in files) / 1e6:.2f} MB)")


if __name__ == "__main__":
    typer.run(main)
