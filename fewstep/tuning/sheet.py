"""Pages of pictures: samples of the same seeds side by side, and what differs, in one HTML file without links."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fewstep.cli.picture import png
from fewstep.diffusers.capture.denoiser import PipelineDenoiser
from fewstep.errors import FewstepError
from fewstep.models import Denoiser

__all__ = ["comparison", "page", "pictures"]

STRONGER = 4  # differences are shown so many times as large
SMALL = 96  # pixels; smaller pictures are enlarged without smoothing

STYLE = """
:root { color-scheme: light dark; --ink: #1b2027; --soft: #59616e; --line: #dfe3e8; --page: #f6f7f8; --card: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #9ba5b4; --line: #2c323c; --page: #12151a; --card: #1a1e25; }
}
body { margin: 0 auto; max-width: 72rem; padding: 1rem 1.25rem 3rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; background: var(--card); }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
th { color: var(--soft); font-weight: 600; }
small { color: var(--soft); }
img { display: block; min-width: 96px; max-width: 22rem; width: 100%; height: auto; }
img.small { image-rendering: pixelated; }
"""


def pictures(denoiser: Denoiser, samples: torch.Tensor) -> list[np.ndarray]:
    """Pictures (H, W, 3) uint8 of samples (B, ...): made by the pipeline's own code from its latents, or the samples
    themselves where they have one or three channels in [−1, 1]; none where they are no pictures."""
    if isinstance(denoiser, PipelineDenoiser):
        return [each for i in range(len(samples)) for each in _finished(denoiser, samples[i : i + 1], i)]
    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        return []
    pixels = ((samples.nan_to_num().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(1, -1).cpu().numpy()
    return [np.repeat(each, 3 // each.shape[-1], axis=-1) for each in pixels]


def _finished(denoiser: PipelineDenoiser, state: torch.Tensor, row: int) -> list[np.ndarray]:
    try:
        output = denoiser.finish(state, [row], output_type="np")
    except (FewstepError, TypeError, ValueError):  # sound, or a pipeline that knows no output_type
        return []
    array = np.asarray(output[0] if not isinstance(output, dict) else next(iter(output.values())))
    while array.ndim > 4:  # (B, frames, H, W, 3): the frame amid them
        array = array[:, array.shape[1] // 2]
    if array.ndim != 4 or array.shape[-1] not in (1, 3):
        return []
    return [np.repeat((each.clip(0, 1) * 255).round().astype(np.uint8), 3 // each.shape[-1], axis=-1) for each in array]


def comparison(schedules: Sequence[Any], noises: int, distance: str, shown: Mapping[str, Sequence[np.ndarray]]) -> str:
    """The page of a `fewstep.tuning.compare.Comparison`."""
    head = ("", "calls", "passes", "seconds", "typical error", "× the first", f"{distance} distance")
    rows = [
        (
            each.name,
            str(each.calls),
            str(each.passes),
            f"{each.seconds:.2f}",
            _number(each.typical, each.typical_interval),
            _number(each.ratio, each.ratio_interval),
            _number(each.distance, each.distance_interval),
        )
        for each in schedules
    ]
    words = (
        f"{noises} noises, the same for every schedule. The typical error is the geometric mean of the distances to "
        "the teacher's samples; in brackets 95 % intervals, those of the ratio from pairs."
    )
    return page("Schedules side by side", words, _table(head, rows), shown)


def page(title: str, words: str, table: str, shown: Mapping[str, Sequence[np.ndarray]]) -> str:
    """A page with a table, and pictures by name: a row a seed, a column a name, then the differences from the first."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>\n'
        f'<h1>{html.escape(title)}</h1>\n<p>{html.escape(words)}</p>\n<div class="wide">{table}</div>\n'
        f"{_grids(shown)}</body></html>\n"
    )


def _grids(shown: Mapping[str, Sequence[np.ndarray]]) -> str:
    names = [name for name in shown if len(shown[name])]
    if not names:
        return ""
    count, first = min(len(shown[name]) for name in names), names[0]
    samples = [[_image(shown[name][i], f"{name}, seed {i}") for name in names] for i in range(count)]
    apart = [
        [_image(_difference(shown[name][i], shown[first][i]), f"{name} less {first}, seed {i}") for name in names[1:]]
        for i in range(count)
    ]
    text = f'<h2>Samples of the same seeds</h2>\n<div class="wide">{_table(names, samples, safe=True)}</div>\n'
    if names[1:]:
        title = f"Differences from {html.escape(first)}, {STRONGER} times as strong"
        text += f'<h2>{title}</h2>\n<div class="wide">{_table(names[1:], apart, safe=True)}</div>\n'
    return text


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], safe: bool = False) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if safe else html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>\n{body}</tbody></table>"


def _number(value: float, interval: Any) -> str:
    return f"{value:.3g} ({interval.low:.3g}–{interval.high:.3g})"


def _difference(image: np.ndarray, first: np.ndarray) -> np.ndarray:
    apart = STRONGER * np.abs(image.astype(int) - first.astype(int))
    strong: np.ndarray = apart.clip(0, 255).astype(np.uint8)
    return strong


def _image(pixels: np.ndarray, words: str) -> str:
    height, width, _ = pixels.shape
    text = base64.b64encode(png(torch.from_numpy(np.ascontiguousarray(pixels)))).decode()
    size = f'width="{width}" height="{height}"'
    kind = ' class="small"' if max(height, width) < SMALL else ""
    return f'<img{kind} {size} alt="{html.escape(words)}" src="data:image/png;base64,{text}">'
