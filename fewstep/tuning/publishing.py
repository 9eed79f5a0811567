"""What a service is to know of a tuned pipeline, whose weights stay where they are."""

from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

from fewstep import processes
from fewstep.diffusers.capture.denoiser import PipelineDenoiser
from fewstep.diffusers.capture.networks import plain
from fewstep.values.model import PIPELINE, Facts, Model
from fewstep.values.publication import Publication, check_title
from fewstep.values.result import Result

__all__ = ["publication_of"]

ID = 16  # digits of a model's id


def publication_of(result: Result, denoiser: PipelineDenoiser, digest: str, name: str | None = None) -> Publication:
    """The publication of a pipeline's ``result``, with the pipeline under ``name``, by default its class with the
    beginning of its ``digest`` (SHA-256 in hexadecimal). Raises `InvalidInput` for a name that is none."""
    name = f"{denoiser.name}-{digest[:8]}" if name is None else name
    check_title(name)
    model = Model(
        id=digest[:ID],
        name=name,
        source=PIPELINE,
        summary=f"{denoiser.name}, whose weights are where it was tuned",
        shape=denoiser.shape,
        process=processes.to_dict(denoiser.process, by_rule=True),
        digest=digest,
        created=datetime.now(UTC),
        facts=Facts(
            network=type(plain(denoiser.view.networks[0])).__name__,
            prediction=getattr(denoiser.reading, "prediction", None),  # of readings with one
            conditions=denoiser.conditions,
            guidance=denoiser.guidance.own,
            passes=denoiser.passes,
        ),
    )
    answered = replace(result, problem=replace(result.problem, model=model.id))
    return Publication(model, answered, version("fewstep"))
