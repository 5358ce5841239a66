"""The links of HTML pages on disk, followed."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """A page's links, and the places in it that links can lead to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


class Links:
    """The links of pages; each page is read once."""

    def __init__(self) -> None:
        self._pages: dict[Path, _Page] = {}

    def _page(self, file: Path) -> _Page:
        if file not in self._pages:
            self._pages[file] = _Page(file)
        return self._pages[file]

    def of(self, file: Path) -> Iterator[tuple[str, str]]:
        """A page's links, each with what is wrong with it: empty when it leads somewhere."""
        for link in self._page(file).links:
            yield link, self._wrong(file, link)

    def _wrong(self, file: Path, link: str) -> str:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return "leads elsewhere"
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        if not target.is_file():
            return "no such file"
        place = unquote(parts.fragment)
        return "no such place" if place and place not in self._page(target).places else ""
