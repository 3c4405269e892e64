"""HTML as its reader sees it."""

from html.parser import HTMLParser

VOID = {"meta", "input"}


class ParsedPage(HTMLParser):
    """Every element with its attributes, all text, and the text inside elements of a class or name.

    Elements that are not closed, or not in order, fail.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[tuple[str, list[str]]] = []
        self.inside: dict[str, str] = {}
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes.get("class", "").split()))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        for tag, classes in self.open:
            for name in (tag, *(f".{class_name}" for class_name in classes)):
                self.inside[name] = self.inside.get(name, "") + data

    def structure(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    def with_class(self, name: str) -> list[dict[str, str]]:
        return [attributes for _, attributes in self.elements if name in attributes.get("class", "").split()]
