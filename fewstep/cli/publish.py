"""``fewstep publish``: a result that was found on a pipeline's own machine, served by the service from then on."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fewstep.cli.files import read
from fewstep.cli.options import URL, Url
from fewstep.cli.wording import fetch_command
from fewstep.client import Client, Publication, Published
from fewstep.errors import InvalidInput

__all__ = ["Title", "publish", "tell"]

Title = Annotated[str | None, typer.Option("--name", help="What the service is to call the model.")]


def publish(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A file that fewstep tune --result wrote.")],
    name: Title = None,
    url: Url = URL,
) -> None:
    """Publish a tuned result to the service; prints the model's id. The same one again changes nothing."""
    content = read(result)
    try:
        publication = Publication.from_json(content)
        if name is not None:
            publication = replace(publication, model=replace(publication.model, name=name))
    except InvalidInput as error:
        raise InvalidInput(f"{result} cannot be published: {error}") from error
    with Client(url) as client:
        tell(client.publish(publication), url)


def tell(published: Published, url: str) -> None:
    """Print the model's id, and what can be done with a published result."""
    typer.echo(published.model)
    typer.echo(f"{url.rstrip('/')}/searches/{published.search} shows it", err=True)
    typer.echo(f"{fetch_command(published.result.problem)} fetches it", err=True)
