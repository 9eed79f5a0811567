"""A page of the dashboard, taken apart."""

from html.parser import HTMLParser

from fastapi.testclient import TestClient

VOID = {"link", "meta", "img", "input", "br", "hr"}


class Elements(HTMLParser):
    """Every element of a page with its attributes and the text inside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.stack: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.stack.append(len(self.found) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.found[self.stack.pop()][0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for place in self.stack:
            self.found[place][2].append(data)

    def text(self, tag: str, **attributes: str) -> list[str]:
        """Texts of the elements with these attributes, white space collapsed."""
        return [
            " ".join("".join(words).split())
            for name, given, words in self.found
            if name == tag and attributes.items() <= given.items()
        ]


def page(client: TestClient, path: str, status: int = 200) -> Elements:
    """The whole page at ``path``, every element of it closed."""
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    elements = Elements(answer.text)
    assert elements.stack == []
    return elements
