import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from fakes.attributions import made
from fakes.html import ParsedPage
from fakes.tiny_models import tiny_lm
from hypothesis import given, settings
from hypothesis import strategies as st

import heat
from heat.show.colours import (
    AGAINST,
    DARK_INK,
    DARK_PAPER,
    DARK_STRENGTH,
    FOR,
    INK,
    PAPER,
    RGB,
    STRENGTH,
    background,
)
from heat.show.page import page
from heat.show.words import visible_lines


@pytest.fixture(scope="module")
def attribution() -> heat.Attribution:
    prompt = "The \U0001f600 gate\n  is <b>iron</b>. Answer:"
    return heat.attribute(tiny_lm("llama"), prompt, " iron, said", "heat", n_probes=2)


def test_text_stands_as_it_is_with_its_lines(attribution: heat.Attribution) -> None:
    found = ParsedPage(page(attribution))
    assert found.inside[".map"] == attribution.text
    assert "iron, said" in found.inside["title"]
    assert "white-space: pre-wrap" in found.inside["style"]


def test_nothing_is_loaded_and_nothing_runs(attribution: heat.Attribution) -> None:
    html = page(attribution, "heat explain")
    found = ParsedPage(html)
    allowed = {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "bdi", "fieldset", "legend", "span",
        "input", "label", "div", "table", "tr", "th", "td", "code",
    }  # fmt: skip
    assert set(found.structure()) <= allowed
    for _, attributes in found.elements:
        assert not {"src", "href", "style", "srcset"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_its_own_style_sheet_alone(attribution: heat.Attribution) -> None:
    found = ParsedPage(page(attribution))
    (policy,) = [a["content"] for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(found.inside["style"].encode()).digest()).decode()
    assert policy == (f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")


def test_every_view_and_every_target_can_be_chosen(attribution: heat.Attribution) -> None:
    found = ParsedPage(page(attribution))
    inputs = [a for tag, a in found.elements if tag == "input"]
    views = [a["id"] for a in inputs if a["name"] == "view"]
    choices = [a["id"] for a in inputs if a["name"] == "choice"]
    n_targets = len(attribution.scores)
    assert n_targets > 1
    assert views == [f"v{i}" for i in range(4)]
    assert choices == [f"c{i}" for i in range(n_targets + 1)]
    assert [a["id"] for a in inputs if "checked" in a] == ["v0", "c0"]
    assert {a["for"] for tag, a in found.elements if tag == "label"} == {a["id"] for a in inputs}
    for choice in choices:
        for view in views:
            rule = f"body:has(#{choice}:checked):has(#{view}:checked) .w {{ --x: var(--{choice}{view}, 0); }}"
            assert rule in found.inside["style"]
    assert all(name in found.inside["label"] for name in ("score", "transition", "curvature", "information"))


def test_colours_say_the_numbers() -> None:
    scores = [[2.0, -1.0, 0.0, 0.0], [2.0, 0.0, 8.0, 0.0]]
    spans = [(0, 2), (2, 5), (5, 9), (9, 13)]
    attribution = made("go on now yes", spans, scores, 2, {"part": torch.tensor(scores).abs()})
    html = page(attribution)
    assert "#w0{--c0v0:1.00;--c0v1:1.00;--c1v0:1.00;--c1v1:1.00;--c2v0:1.00;--c2v1:1.00}" in html
    assert "#w1{--c0v0:-0.25;--c0v1:0.25;--c1v0:-0.50;--c1v1:0.50}" in html
    assert "#w2{--c0v0:1.00;--c0v1:1.00;--c2v0:1.00;--c2v1:1.00}" in html
    found = ParsedPage(html)
    assert [word["title"] for word in found.with_class("w")][1] == "on\nscore -1\npart 1\ntokens: t1"
    assert "orange speaks for the answer, blue against" in found.inside[".key"]
    assert [word["class"] for word in found.with_class("w")] == ["w", "w", "w a a1", "w a a2"]


def test_one_target_without_components_needs_no_choice() -> None:
    found = ParsedPage(page(made("go on", [(0, 2), (2, 5)], [[1.0, 0.0]])))
    assert "input" not in found.structure()
    assert "the more orange, the higher" in found.inside[".key"]


@pytest.mark.parametrize(("n_targets", "parts"), [(1, 0), (1, 2), (2, 0), (2, 2)])
def test_the_style_sheet_asks_for_buttons_that_are_there(n_targets: int, parts: int) -> None:
    scores = torch.tensor([[1.0, 0.0, 0.0]] * n_targets)
    components = {f"part {i}": scores for i in range(parts)}
    html = page(made("go on now", [(0, 2), (2, 5), (5, 9)], scores.tolist(), n_targets, components))
    found = ParsedPage(html)
    asked = set(re.findall(r":has\(#(\w+):checked\)", found.inside["style"]))
    assert asked == {attributes["id"] for tag, attributes in found.elements if tag == "input"}


def test_ids_without_text_have_a_page() -> None:
    assert (
        ParsedPage(page(heat.attribute(tiny_lm("llama"), [50, 60, 70], [80], "random")))
        .inside[".map"]
        .split()
    )


def test_says_how_to_make_it_again(attribution: heat.Attribution) -> None:
    made_by = ParsedPage(page(attribution, "heat explain 'a <b>' --html x.html")).inside[".made"]
    for part in ("heat explain 'a <b>'", '"n_probes": 2', "tiny llama, revision random, float32", "torch "):
        assert part in made_by
    assert page(attribution, "same") == page(attribution, "same")
    assert "called from Python" in page(attribution)


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=12), st.text(max_size=12))
def test_text_never_becomes_structure(prompt: str, target: str, model: str) -> None:
    prompt, target = f"a{prompt}", f"{target}z"
    whole = prompt + target
    spans = [(0, len(prompt)), (len(prompt), len(whole))]
    attribution = made(whole, spans, [[1.0, 0.0]], components={model or "x": torch.ones(1, 2)}, model=model)
    found = ParsedPage(page(attribution, whole))
    assert found.inside[".map"] == visible_lines(whole)
    assert visible_lines(whole) in found.inside["code"]
    words = len(found.with_class("w"))
    rows = found.structure().count("tr")
    plain = "a" + " b" * (words - 2)
    twin = made(
        plain + " z", [(0, len(plain)), (len(plain), len(plain) + 2)], [[1.0, 0.0]],
        components={"x": torch.ones(1, 2)},
    )  # fmt: skip
    assert (ParsedPage(page(twin)).structure(), rows) == (found.structure(), found.structure().count("tr"))


@pytest.mark.parametrize(
    "text",
    ["</style><script>alert(1)</script>", '" onmouseover="x', "{{ 7 * 7 }}", "&lt;b&gt;", "<!--", "]]>"],
)
def test_hostile_text_stays_text(text: str) -> None:
    attribution = made(f"{text} yes", [(0, len(text)), (len(text), len(text) + 4)], [[1.0, 0.0]], model=text)
    found = ParsedPage(page(attribution, text))
    assert found.inside[".map"] == f"{text} yes"
    assert not {"script", "b"} & set(found.structure())
    assert not any("onmouseover" in a for _, a in found.elements)


def luminance(colour: RGB) -> float:
    red, green, blue = (
        part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("ink", "paper", "strength"), [(INK, PAPER, STRENGTH), (DARK_INK, DARK_PAPER, DARK_STRENGTH)]
)
def test_words_can_be_read_on_every_colour(ink: RGB, paper: RGB, strength: float) -> None:
    for step in range(-20, 21):
        light, dark = sorted(map(luminance, (background(step / 20, paper, strength), ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2, AA
    assert background(1, paper, 1) == FOR
    assert background(-1, paper, 1) == AGAINST


def test_a_browser_colours_words_as_chosen(tmp_path: Path) -> None:
    """The style sheet passes the policy and the radio buttons work: seen in the pixels of a real browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium to open the page with")
    from matplotlib.image import imread

    scores = torch.tensor([[0.0, 1.0, 0.0]])
    attribution = made("goes onto yes", [(0, 4), (4, 9), (9, 13)], scores.tolist(), components={"p": -scores})
    html = page(attribution)
    other = html.replace('id="v0" autocomplete="off" checked', 'id="v0" autocomplete="off"').replace(
        'id="v1" autocomplete="off"', 'id="v1" autocomplete="off" checked'
    )
    seen = []
    for name, content in (("score", html), ("part", other)):
        (tmp_path / f"{name}.html").write_text(content, encoding="utf-8")
        subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                f"--user-data-dir={tmp_path / 'profile'}", "--window-size=600,600",
                f"--screenshot={tmp_path / name}.png", (tmp_path / f"{name}.html").as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        pixels = torch.tensor(imread(tmp_path / f"{name}.png")[:, :, :3] * 255)
        seen.append(
            tuple(
                bool(((pixels - torch.tensor(background(share))).abs().amax(-1) < 3).sum() > 100)
                for share in (1.0, -1.0)
            )
        )
    # The key of a signed view runs to the full colour at both ends, but over few pixels.
    assert seen == [(True, False), (False, True)]


def test_style_holds_no_text_of_the_attribution(attribution: heat.Attribution) -> None:
    rules = re.findall(r"^#w.*$", ParsedPage(page(attribution)).inside["style"], re.MULTILINE)
    assert rules
    assert all(re.fullmatch(r"#w\d+\{(--c\d+v\d+:-?\d\.\d\d;?)+\}", rule) for rule in rules)
