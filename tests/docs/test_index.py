"""The pages as a whole: every one can be found, every decision has its headings, links lead somewhere."""

import re
from pathlib import Path

from tests.docs.pages import DOCS, ROOT

DECISIONS = sorted(path for path in (DOCS / "decisions").glob("*.md") if path.name != "README.md")
HEADINGS = ["Question", "Set-up", "Table", "Decision", "Command"]


def links(page: Path) -> dict[str, Path]:
    """Links of a page to files, and where they lead."""
    targets = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", page.read_text("utf-8"))
    return {target: (page.parent / target.partition("#")[0]).resolve() for target in targets}


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reachable_from_the_index() -> None:
    """Following links from docs/README.md comes to every page in docs."""
    found, ahead = set[Path](), [DOCS / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in found and page.suffix == ".md" and page.is_file():
            found.add(page)
            ahead += links(page).values()
    assert sorted(set(DOCS.rglob("*.md")) - found) == []


def test_decisions_have_their_headings() -> None:
    """A title; question, set-up, table, decision and command, in this order, none empty; the table is one."""
    for page in DECISIONS:
        title, *parts = re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)
        assert re.fullmatch(r"# \S.*\n\n", title), page.name
        sections = [part.partition("\n") for part in parts]
        assert [heading for heading, *_ in sections] == HEADINGS, page.name
        texts = {heading: text.strip() for heading, _, text in sections}
        assert all(texts.values()), page.name
        assert "\n|---|" in texts["Table"], page.name
        assert "`" in texts["Command"] or "script was not kept" in texts["Command"], page.name


def test_the_index_of_decisions_names_each_by_its_title() -> None:
    """One line for each page, with its own title."""
    entries = re.findall(r"^- \[(.+)\]\((.+)\.md\): \S", (DOCS / "decisions" / "README.md").read_text(), re.MULTILINE)
    titles = {page.stem: page.read_text().splitlines()[0].removeprefix("# ") for page in DECISIONS}
    assert len(entries) == len(titles)
    assert {name: title for title, name in entries} == titles


def test_links_lead_somewhere() -> None:
    """To a file that is there, and to a heading that it has."""
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))):
        for target, path in links(page).items():
            assert path.exists(), f"{page.name}: {target}"
            if "#" in target:
                assert target.partition("#")[2] in anchors(path), f"{page.name}: {target}"


def test_files_that_tables_name_are_there() -> None:
    """The pages on the search and on the predictor say where each part's code is, below its folder."""
    for page, folder in (("search.md", "search"), ("predictor.md", "predictor")):
        files = re.findall(r"`([a-z_/]+\.py)`", (DOCS / page).read_text("utf-8"))
        assert files, page
        assert [file for file in files if not (ROOT / folder / file).exists()] == [], page
