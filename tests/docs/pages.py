"""Runs the code of a page: its python blocks share a namespace, its ``fewstep …`` lines run between them, in order."""

import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from fewstep.cli.app import app

__all__ = ["DOCS", "ROOT", "blocks", "run"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """Language, code and line of each block of a page that holds code to run."""
    text = page.read_text()
    return [(found[1], found[2], text[: found.start()].count("\n") + 1) for found in FENCE.finditer(text)]


def run(page: Path, names: dict[str, Any]) -> dict[str, Any]:
    """``names`` after all blocks have run in it; a failure names the page's own line."""
    for language, code, line in blocks(page):
        if language == "python":
            exec(compile("\n" * line + code, str(page), "exec"), names)
            continue
        for command in code.splitlines():
            if command.startswith("fewstep "):
                done = CliRunner().invoke(app, command.split()[1:])
                assert done.exit_code == 0, f"{page.name}:{line}: {command}: {done.output}{done.stderr}"
    return names
