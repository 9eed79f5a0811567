"""The service's page in the docs: it names every setting and every route."""

import re
from pathlib import Path

from api.app import create_app
from api.schemas import SearchIn
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


def test_every_field_of_a_search_is_documented_with_its_default() -> None:
    """The table of the body has one row for each field; plain defaults are the ones in force."""
    section = PAGE.split("\n## Searches\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", section, re.MULTILINE))
    assert rows.keys() == SearchIn.model_fields.keys()
    for name, shown in rows.items():
        default = SearchIn.model_fields[name].default
        if isinstance(default, (int, str)):
            assert shown.strip().strip('`"') == str(default)
