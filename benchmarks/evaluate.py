"""CPU seconds of a search outside and inside the network, beside those of an earlier commit: same calls, same seed.

``python -m benchmarks.evaluate [--commit HASH] [--model NAME]… [--nfe N]… [--effort NAME]… [--repeats N]
[--out FOLDER]`` runs each search by this code and by that of the commit, cloned from the repository's history, in turns
and each time in a process of its own on one thread. The commit's one search is today's thorough one. Rows are added to
``evaluate.json`` as soon as they are done, and ``evaluate.md`` is made of all. Inside the network are the model's calls
and the backward passes through them; starting Python counts on neither side.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

__all__ = ["child", "main"]

BEFORE = "5521059"
MODELS, NFES, EFFORTS = ("digits-mixture", "digits-unet"), (5, 8), ("thorough",)
SHAPE = (1, 8, 8)
CALLS = 100_000  # that a search may make, the teacher's included
REPORT = Path("docs/benchmarks")
ROOT = Path(__file__).resolve().parent.parent
TITLE = f"""# CPU seconds of a search, beside an earlier commit

`python -m benchmarks.evaluate`: searches limited to {CALLS:,} calls, seed 0, one thread. Before: commit {BEFORE}.
The least seconds of a few runs, in turns. What a search imports on its way counts, what it imports before does not.

"""
START = "import runpy, sys; runpy.run_path(sys.argv[1])['child'](sys.argv[2], int(sys.argv[3]), sys.argv[4])"


class Clock:
    """CPU seconds inside a class of models: its calls, and the backward passes through them."""

    def __init__(self, kind: Any) -> None:
        self.seconds = 0.0
        self.samples = self.calls = 0
        self._traced, self._inside = False, False
        forward = kind.__call__

        def call(model: Any, x: torch.Tensor, t: torch.Tensor) -> Any:
            if not self._inside:
                self.samples, self.calls = self.samples + len(x), self.calls + 1
            found = self._timed(forward, model, x, t)
            self._traced |= torch.is_grad_enabled()
            return found

        kind.__call__ = call
        for name in ("backward", "grad"):
            setattr(torch.autograd, name, self._through(getattr(torch.autograd, name)))

    def _through(self, backward: Any) -> Any:
        def run(*args: Any, **options: Any) -> Any:
            if not self._traced:  # of a replay, which has no network in it
                return backward(*args, **options)
            self._traced = False
            return self._timed(lambda: backward(*args, **options))

        return run

    def _timed(self, run: Any, *args: Any) -> Any:
        if self._inside:  # a checkpoint's second call, within the backward pass
            return run(*args)
        began, self._inside = time.process_time(), True
        try:
            return run(*args)
        finally:
            self.seconds += time.process_time() - began
            self._inside = False


def child(model: str, nfe: int, effort: str) -> None:
    """One search by the code at hand, whichever commit's; prints a row as JSON."""
    from fewstep import models

    torch.set_num_threads(1)
    denoiser, options = models.zoo.load(model), dict[str, Any]()
    try:
        from fewstep import predictor
        from fewstep.search import find
        from fewstep.values.cost_card import calls_of_test
        from fewstep.values.limits import Limits
        from fewstep.values.problem import Problem

        tested = calls_of_test(Problem(model, nfe, effort=effort))  # which the limit counted then, and does not now
        options["effort"], limits = effort, Limits(calls=CALLS - tested)
    except ImportError:  # before efforts, and before the two were parts of fewstep
        from importlib import import_module

        find, predictor = import_module("search").find, import_module("predictor")
        limits = import_module("fewstep.limits").Limits(calls=CALLS)
    clock, began = Clock(type(denoiser)), time.process_time()
    result = find(denoiser, nfe, SHAPE, rank=predictor.ranker, limits=limits, **options)
    total = time.process_time() - began
    row = {"outside": total - clock.seconds, "inside": clock.seconds, "samples": clock.samples, "calls": clock.calls}
    print(json.dumps(row | {"error": result.score.value}))


def run(root: Path, model: str, nfe: int, effort: str) -> dict[str, Any]:
    """The row of a search by the code under ``root``."""
    env = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", START, str(Path(__file__).resolve()), model, str(nfe), effort]
    done = subprocess.run(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def least(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of several runs of one search, with the least seconds on either side: what other work disturbed least."""
    return rows[0] | {key: min(row[key] for row in rows) for key in ("outside", "inside")}


def table(rows: list[dict[str, Any]]) -> str:
    """Seconds before and now, and their ratios."""
    lines = [
        "| model, NFE, effort | outside: before | now | ratio | inside: before | now | ratio "
        "| samples through it: before | now | samples a call: before | now |",
        "|---" * 11 + "|",
    ]
    for row in rows:
        cells = [f"{row['model']}, {row['nfe']}, {row['effort']}"]
        for key in ("outside", "inside"):
            before, now = row["before"][key], row["now"][key]
            cells += [f"{before:.1f} s", f"{now:.1f} s", f"{now / before:.2f}"]
        cells += [f"{row[side]['samples']:,}" for side in ("before", "now")]
        cells += [f"{row[side]['samples'] / row[side]['calls']:.0f}" for side in ("before", "now")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(
    commit: Annotated[str, typer.Option(help="Beside the code of which commit.")] = BEFORE,
    model: Annotated[list[str] | None, typer.Option(help="Models; by default both.")] = None,
    nfe: Annotated[list[int] | None, typer.Option(help="Network calls per sample.")] = None,
    effort: Annotated[list[str] | None, typer.Option(help="Efforts of this code.")] = None,
    repeats: Annotated[int, typer.Option(help="Runs of each search; the least seconds count.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = REPORT,
) -> None:
    """Measure, one search after the other."""
    path = out / "evaluate.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), folder], check=True)
        subprocess.run(["git", "checkout", "--quiet", commit], cwd=folder, check=True)
        for name in model or MODELS:
            for calls in nfe or NFES:
                for each in effort or EFFORTS:
                    about = {"model": name, "nfe": calls, "effort": each, "commit": commit}
                    rows = [row for row in rows if any(row[key] != value for key, value in about.items())]
                    both = [
                        (run(Path(folder), name, calls, each), run(ROOT, name, calls, each)) for _ in range(repeats)
                    ]
                    before, now = map(least, zip(*both, strict=True))
                    rows.append(about | {"before": before, "now": now, "runs": repeats})
                    rows.sort(key=lambda row: (row["model"], row["nfe"], row["effort"]))
                    path.write_text(json.dumps(rows, indent=1) + "\n")
                    (out / "evaluate.md").write_text(TITLE + table(rows))
    typer.echo(table(rows))


if __name__ == "__main__":
    typer.run(main)
