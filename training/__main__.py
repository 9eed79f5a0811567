"""``python -m training --recipe NAME``: rebuild a model of the zoo from its recipe and seed."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fewstep.models import zoo
from training import mixture

RECIPES: dict[str, Callable[[Path, int], None]] = {"digits-mixture": mixture.fit}


class Recipe(StrEnum):
    """Names on the command line; one for each entry of `RECIPES`."""

    DIGITS_MIXTURE = "digits-mixture"


def main(
    recipe: Annotated[Recipe, typer.Option(help="Which model to rebuild.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; by default over the zoo's own file.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the fit.")] = mixture.SEED,
) -> None:
    """Rebuild a model of the zoo."""
    path = out or zoo.describe(recipe.value).path
    RECIPES[recipe.value](path, seed)
    typer.echo(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    typer.run(main)
