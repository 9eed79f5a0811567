"""Tables of benchmarks in the pages that quote them: between ``<!-- NAME -->`` and ``<!-- end -->``."""

import re
from pathlib import Path

__all__ = ["quote"]


def quote(name: str, table: str, *pages: Path) -> None:
    """Put a table where pages quote it.

    Raises
    ------
    ValueError
        A page has no such place.
    """
    place = re.compile(rf"(?<=<!-- {re.escape(name)} -->\n).*?(?=<!-- end -->)", re.DOTALL)
    for page in pages:
        text, count = place.subn(lambda _: table, page.read_text("utf-8"), count=1)
        if not count:
            raise ValueError(f"{page} has no place for a table: it wants the lines <!-- {name} --> and <!-- end -->")
        page.write_text(text, "utf-8")
