"""Options that several commands share."""

from typing import Annotated

import typer

__all__ = ["URL", "Url"]

Url = Annotated[str, typer.Option(envvar="FEWSTEP_URL", help="Address of the service.")]
URL = "http://127.0.0.1:8471"
