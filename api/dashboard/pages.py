"""Pages from templates: the environment, and the words that numbers and times are written in."""

import math
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.dashboard.assets import address, plotly_style_ids
from api.dashboard.front import front
from api.dashboard.strip import strip
from fewstep.cli.display import duration, measured, rows, short
from fewstep.cli.wording import ENDINGS, compared, label, limits_in_words
from fewstep.values.model import PIPELINE
from fewstep.values.objective import DEFAULT
from fewstep.values.stages import NEUTRAL, STAGES, look

__all__ = ["render"]


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The page made of ``template``; never kept, since a search moves on."""
    return HTMLResponse(PAGES.get_template(template).render(values), status, headers={"Cache-Control": "no-store"})


def _when(moment: datetime | None) -> Markup:
    """A time for people and for machines."""
    if moment is None:
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), f"{moment:%Y-%m-%d %H:%M} UTC")


def _forecast(predicted: float) -> str:
    """A forecast of log(error) as an error; a wild one is cut to what a float holds."""
    return short(math.exp(min(predicted, 700.0)))


def _count(number: int) -> str:
    """A whole number with thin spaces between the thousands."""
    return f"{number:,}".replace(",", "\N{THIN SPACE}")


def _stages() -> list[dict[str, str]]:
    """The registered stages in order, for the script."""
    return [{"name": name, **look(name)._asdict()} for name in STAGES]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "when": _when,
        "duration": duration,
        "count": _count,
        "forecast": _forecast,
        "label": label,
        "short": short,
    }
    environment.globals |= {
        "address": address,
        "compared": compared,
        "default_metric": DEFAULT,
        "endings": ENDINGS,
        "front": front,
        "limits_in_words": limits_in_words,
        "look": look,
        "measured": measured,
        "neutral": NEUTRAL,
        "pipeline": PIPELINE,
        "plotly_style_ids": plotly_style_ids,
        "rows": rows,
        "stages": _stages,
        "strip": strip,
        "version": version("fewstep"),
    }
    return environment


PAGES = _environment()
