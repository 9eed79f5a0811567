"""Options that several commands share."""

from typing import Annotated

import typer

from fewstep.values.problem import SAMPLERS

__all__ = ["URL", "Improvement", "MaxCalls", "MaxFailures", "MaxSeconds", "Metric", "Report", "Sampler", "Url"]

Url = Annotated[str, typer.Option(envvar="FEWSTEP_URL", help="Address of the service.")]
URL = "http://127.0.0.1:8471"

Metric = Annotated[
    str, typer.Option(help='What is lowered: "endpoint", or metric[:features[:reference]] as in "frechet:digits".')
]
Report = Annotated[str | None, typer.Option(help="Another metric, measured on what is found and no more.")]
Sampler = Annotated[str, typer.Option(help=f"What proposes schedules: {', '.join(SAMPLERS)}.")]
MaxCalls = Annotated[int | None, typer.Option(help="Network sample-calls that may be spent, the teacher's included.")]
MaxSeconds = Annotated[float | None, typer.Option(help="Seconds after which no trial is begun any more.")]
MaxFailures = Annotated[int | None, typer.Option(help="Trials that may fail.")]
Improvement = Annotated[
    float | None, typer.Option(help="Stop when forecasts promise no error lower than the best by this share.")
]
