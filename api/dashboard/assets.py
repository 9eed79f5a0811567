"""What pages load: our stylesheet, script and icon, and Plotly from its installed package."""

import hashlib
import re
from functools import cache
from importlib import resources
from pathlib import Path

from fewstep.errors import NotFound

__all__ = ["address", "asset", "plotly_style_ids"]

PLOTLY = "plotly.min.js"
TYPES = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    PLOTLY: "text/javascript",
}


def asset(name: str) -> tuple[Path, str]:
    """The file of that name and its media type; raises `NotFound`."""
    if name not in TYPES:
        raise NotFound(f"there is no static file {name[:80]!r}; there are {', '.join(TYPES)}")
    if name == PLOTLY:
        return Path(str(resources.files("plotly") / "package_data" / PLOTLY)), TYPES[name]
    return Path(__file__).parent / "static" / name, TYPES[name]


@cache
def address(name: str) -> str:
    """Where a page finds the file of that name; another address for other content, so that it may be kept for good."""
    digest = hashlib.sha256(asset(name)[0].read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"


@cache
def plotly_style_ids() -> list[str]:
    """Ids of the style elements that Plotly's map parts add to a page unless elements of these ids are there.

    The content policy forbids style elements, and we draw no maps: pages carry empty elements of these ids instead.
    """
    return re.findall(r'document\.getElementById\("([0-9a-f]{64})"\)', asset(PLOTLY)[0].read_text("utf-8"))
