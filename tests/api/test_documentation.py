"""The service's page in the docs: it names every setting and every route."""

import re
from pathlib import Path

from api.app import create_app
from api.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    """The table has one row for each setting; plain defaults are the ones in force."""
    rows = dict(re.findall(r"^\| `FEWSTEP_(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    assert {name.lower() for name in rows} == set(Settings.model_fields)
    for name, shown in rows.items():
        default = Settings.model_fields[name.lower()].default
        if re.fullmatch(r"`.*` ?", shown):
            given = shown.strip().strip("`")
            assert given in (
                str(default),
                str(default).lower(),
                f"{default:g}" if isinstance(default, float) else given,
            )


def test_every_route_is_documented(settings: Settings) -> None:
    """Every path of the API is on the page."""
    text = re.sub(r"`/(resume|cancel)`", r"`/v1/searches/{id}/\1`", PAGE)
    for path in create_app(settings).openapi()["paths"]:
        assert path in text, path
