"""An attribution in a notebook: escaped, readable on any paper, text where there is no HTML."""

import re

import pytest
import torch
from fakes.attributions import made
from fakes.html import ParsedPage
from hypothesis import given, settings
from hypothesis import strategies as st

ONE = made("tin is cheap tin", [(0, 3), (4, 6), (7, 12), (13, 16)], [[2.0, 0.0, -1.0, 0.0]])


def test_words_are_coloured_by_their_share() -> None:
    page = ParsedPage(ONE.show()._repr_html_())
    spans = [attributes for tag, attributes in page.elements if tag == "span"]
    assert [each["title"] for each in spans] == ["tin: 2", "is: 0", "cheap: -1"]
    assert spans[0]["style"].startswith("background: rgba(235, 110, 20, 0.60)")
    assert "style" not in spans[1]
    assert spans[2]["style"].startswith("background: rgba(80, 120, 220, 0.30)")
    assert "tin is cheap" in page.text
    assert "orange speaks for it, blue against." in page.text


def test_it_sets_neither_paper_nor_ink_and_has_no_script() -> None:
    html = ONE.show()._repr_html_()
    assert not re.search(r"(?<!-)\bcolor:", html)
    assert not {"script", "style", "link", "img"} & {tag for tag, _ in ParsedPage(html).elements}


def test_the_text_is_what_the_terminal_shows() -> None:
    text = repr(ONE.show(top=2))
    assert text.splitlines()[0] == "[tin] is [-cheap]"
    assert "-> tin" in text
    assert "method random" in text
    assert "\x1b" not in text
    assert "Attribution(" not in text


def test_top_and_components_are_listed() -> None:
    parts = {"curvature": torch.tensor([[1.0, 0.0, 0.0, 0.0]])}
    one = made(
        "tin is cheap tin", [(0, 3), (4, 6), (7, 12), (13, 16)], [[2.0, 0.0, -1.0, 0.0]], components=parts
    )
    page = ParsedPage(one.show(top=1)._repr_html_())
    assert [tag for tag, _ in page.elements].count("tr") == 2
    assert "curvature" in page.text


def test_a_long_prompt_is_cut_around_what_matters() -> None:
    text = " ".join(["word"] * 2000)
    spans = [(5 * i, 5 * i + 4) for i in range(2000)]
    scores = [[0.0] * 2000]
    scores[0][1000] = 1.0
    html = made(text, spans, scores).show()._repr_html_()
    assert html.count("<span") < 600
    assert re.search(r"… [\d,]+ words …", html)


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_text_is_inert(text: str) -> None:
    prompt = f"<script>alert('x')</script> \" ' & {text} y"
    one = made(prompt, [(0, len(prompt) - 2), (len(prompt) - 1, len(prompt))], [[1.0, 0.0]], model="<b>m</b>")
    html = one.show()._repr_html_()
    page = ParsedPage(html)
    assert {tag for tag, _ in page.elements} <= {
        "div", "span", "p", "small", "b", "bdi", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert "<script>" not in html
    assert "alert('x')" in page.text


def test_a_notebook_shows_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # There rich displays what it prints, beside the HTML.
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert repr(ONE.show(top=2)).startswith("[tin] is [-cheap]")
