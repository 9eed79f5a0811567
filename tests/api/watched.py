"""A page in a browser, and a list of everything on it that should not have happened."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Watched:
    """A page, and everything on it that should not have happened."""

    page: Any
    host: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._on_console(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", lambda request: self._on_request(request.url))
        self.page.expose_function("violated", lambda what: self.faults.append(f"policy: {what}"))
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', e => violated(`${e.violatedDirective} ${e.blockedURI}`))"
        )

    def _on_console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(f"console: {text}")

    def _on_request(self, url: str) -> None:
        if not url.startswith((self.host + "/", "data:", "blob:")):
            self.faults.append(f"request: {url}")


def shown(page: Any, place: str, text: str) -> None:
    """Wait until ``text`` stands in the element."""
    page.locator(place).filter(has_text=text).first.wait_for()
