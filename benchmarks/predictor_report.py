"""Tables of the predictor's ranking quality: by feature set, and by what comes from other searches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["QUOTED", "ranking", "transfer"]

FEATURE_SETS = {"tableau": "tableau and λ-gaps", "replay": "replay residuals", "all": "all"}
Report = dict[str, list[dict[str, Any]]]


def ranking(report: Report) -> str:
    """Kendall's τ for each model, NFE and feature set, by number of trials."""
    return _table(report["unseen"], "knowledge", FEATURE_SETS, "feature set")


def transfer(report: Report) -> str:
    """The same by what comes from other searches, nothing first."""
    warm = report["warm"]
    most = max(row["trials"] for row in warm)
    alone = [row for row in report["unseen"] if row["knowledge"] == "all" and row["trials"] <= most]
    rows = [{**row, "besides": "nothing"} for row in alone] + warm
    return _table(rows, "besides", {row["besides"]: row["besides"] for row in rows}, "from other searches")


def _table(rows: list[dict[str, Any]], key: str, names: dict[str, str], title: str) -> str:
    counts = sorted({row["trials"] for row in rows})
    lines = [
        f"| model, calls | {title} | " + " | ".join(f"{count} trials" for count in counts) + " |",
        "|---" * (2 + len(counts)) + "|",
    ]
    for model, nfe in dict.fromkeys((row["model"], row["nfe"]) for row in rows):
        for name, shown in names.items():
            taus = {r["trials"]: r["tau"] for r in rows if (r["model"], r["nfe"], r[key]) == (model, nfe, name)}
            if taus:
                cells = [f"{taus[count]:.3f}" if count in taus else "–" for count in counts]
                lines.append("| " + " | ".join([f"{model}, {nfe}", shown, *cells]) + " |")
    return "\n".join(lines) + "\n"


QUOTED: dict[str, tuple[Callable[[Report], str], Path]] = {
    "ranking": (ranking, Path("docs/evidence.md")),
    "transfer": (transfer, Path("docs/predictor.md")),
}
