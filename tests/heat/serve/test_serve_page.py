"""The live page in a real browser: Debian's Chromium, driven by Playwright (extra ``browser``)."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fakes.attributions import made
from fakes.serving import PROMPT, Serving, ServingProcess, asked, until
from fakes.tiny_models import tiny_lm

import heat
from heat.parts import recombine
from heat.serve.history import Asked, Ended, History
from heat.serve.wire import ExplainRequest
from heat.show.words import read

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the extra [browser] (Playwright) is not installed"
)
pytest.importorskip("starlette", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")
expect = sync_api.expect

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
AXE = Path(os.environ.get("AXE_JS", "/nowhere"))
pytestmark = pytest.mark.skipif(
    not CHROMIUM.is_file(), reason=f"there is no Chromium at {CHROMIUM}; set CHROMIUM"
)

LM = tiny_lm("llama")
PATIENCE_MS = 30_000
HOSTILE = """<script>document.title="owned"</script><img src=x onerror="document.title=1"> &amp; 'so'"""
RIGHT_TO_LEFT = "النحاس معدن 😀 ينقل"
SLOW = {"methods": [{"name": "hessian-only", "options": {"n_probes": "20000"}}], "max_targets": 1}


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def server(tmp_path) -> Iterator[Serving]:
    running = Serving(LM, tmp_path / "h")
    yield running
    running.stop()


@pytest.fixture
def visit(browser):
    """Open the page; errors of the page fail the test."""
    errors: list[str] = []
    contexts = []

    def opened(url: str, **options):
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 860}} | options))
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.locator("#explain:enabled").wait_for()
        return page

    expect.set_options(timeout=PATIENCE_MS)
    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def done(server: Serving, *methods: str, **fields) -> str:
    run = server.submit(asked(*methods, **{"target": " iron and copper", "threshold": None, **fields}))
    assert server.finished(run) == "done", server.session.worker.runs.get(run).error
    return run


def word(page, at: int, panel: int = 0):
    return page.locator(".panel").nth(panel).locator(f"[data-at='{at}']")


def reading_of(server: Serving, index: int = 0):
    """What a method of the only run says, in words."""
    (run,) = server.json("GET", "state")["runs"]
    return read(server.session._attribution(run["id"], index))


def cell(page, at: int, row: int):
    return word(page, at).locator(".r").nth(row)


def shade(made) -> float:
    """How much colour a word has, from 0 to 1."""
    step = re.search(r"\bfor-(\d+)", made.get_attribute("class"))
    return int(step[1]) / 20 if step else 0.0


class TestAsking:
    def test_from_typing_to_an_attribution(self, server, visit) -> None:
        page = visit(server.url)
        page.get_by_label("Prompt", exact=True).fill(PROMPT)
        page.locator("#max-targets").fill("3")
        page.locator("#depending").uncheck()
        page.get_by_role("button", name="Add a method").click()
        expect(page.locator("#plan tr")).to_have_count(2)
        expect(page.locator("#plan")).to_contain_text("tokens for up to 3 of answer")
        page.get_by_role("button", name="Explain").click()
        expect(page.locator(".layer")).to_have_count(2)
        for row in range(2):
            cells = page.locator(f".map .u > .r:nth-child({row + 1})").all_text_contents()
            assert cells == [piece.text for piece in reading_of(server).prompt]
        assert page.locator(".of-answer").count() == 3
        expect(page.locator(".comparison")).to_contain_text("heat and kl-only")
        expect(page.locator("#activity")).to_have_text("idle")
        (run,) = server.json("GET", "state")["runs"]
        assert f"run={run['id']}" in page.url
        page.reload()
        expect(page.locator(".layer")).to_have_count(2)

    def test_by_keyboard_alone(self, server, visit) -> None:
        page = visit(server.url)
        keys = page.keyboard
        keys.press("/")
        keys.type(PROMPT)
        keys.press("Control+Enter")
        expect(page.locator(".panel")).to_have_count(1)
        word(page, 0).focus()
        keys.press("ArrowRight")
        keys.press("ArrowRight")
        assert page.evaluate("document.activeElement.textContent") == "is"
        expect(page.locator(".readout")).to_contain_text("is ")
        expect(page.locator("#live")).to_contain_text("is ")
        keys.press("Enter")
        expect(word(page, 2)).to_have_attribute("aria-pressed", "true")
        keys.press("Escape")
        expect(word(page, 2)).to_have_attribute("aria-pressed", "false")
        keys.press("Shift+Tab")
        assert "of-answer" in page.evaluate("document.activeElement.className")
        keys.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()

    def test_what_is_wrong_is_said_before_it_runs(self, server, visit) -> None:
        page = visit(server.url)
        page.get_by_label("Prompt", exact=True).fill("iron " * 80)
        expect(page.locator("#plan .wrong")).to_contain_text("takes 64")
        page.get_by_label("Prompt", exact=True).fill(PROMPT)
        page.locator(".method details").click()
        page.get_by_label("n_probes").fill("many")
        expect(page.locator("#plan .wrong")).to_contain_text("n_probes")
        page.get_by_role("button", name="Explain").click()
        expect(page.locator("[data-kind=refused]")).to_contain_text(
            "Not taken: method 'heat', option 'n_probes'"
        )
        assert server.json("GET", "state")["runs"] == []

    def test_queue_progress_and_cancel(self, server, visit) -> None:
        slow, quick = server.submit(asked(**SLOW)), server.submit(asked())
        page = visit(f"{server.url}#run={slow}&with={quick}")
        first, second = page.locator(".run").nth(0), page.locator(".run").nth(1)
        expect(first.locator("progress[value]")).to_be_visible()
        expect(first).to_contain_text("hessian-only: ")
        expect(second).to_contain_text("Waiting: it is the next.")
        first.get_by_role("button", name="Cancel").click()
        expect(first).to_contain_text("Cancelled.")
        expect(second.locator(".panel")).to_have_count(1)
        assert (server.status(slow), server.status(quick)) == ("cancelled", "done")

    def test_ask_again_and_what_is_typed_survive_a_reload(self, server, visit) -> None:
        run = done(server, "kl-only", seed=7)
        page = visit(f"{server.url}#run={run}")
        page.get_by_role("button", name="Ask again").click()
        expect(page.get_by_label("Prompt", exact=True)).to_have_value(PROMPT)
        expect(page.locator("#target")).to_have_value(" iron and copper")
        page.reload()
        expect(page.locator("#seed")).to_have_value("7")
        expect(page.locator(".method select").first).to_have_value("kl-only")


class TestLooking:
    def test_a_token_shows_its_words_and_a_word_where_it_matters(self, server, visit) -> None:
        run = done(server, "heat")
        page = visit(f"{server.url}#run={run}")
        page.locator(".panel").wait_for()
        reading = read(server.session._attribution(run, 0))
        n_words = len(reading.prompt)

        def shades() -> list[float]:
            return [shade(word(page, at)) for at in range(n_words)]

        for target in (None, 1, 0):
            if target is not None:
                word(page, n_words + target).hover()
            expected = reading.shares(target=target)[:n_words]
            until(lambda expected=expected: shades() == pytest.approx(expected, abs=0.026))
        word(page, 4).hover()
        expected = [
            reading.numbers(target=t)[4] / reading.largest(target=t) for t in range(len(reading.answer))
        ]
        until(
            lambda: (
                [shade(word(page, n_words + t)) for t in range(len(expected))]
                == pytest.approx(expected, abs=0.026)
            )
        )
        page.mouse.move(5, 5)
        word(page, n_words).click()
        page.mouse.move(5, 5)
        until(lambda: shades() == pytest.approx(reading.shares(target=0)[:n_words], abs=0.026))

    def test_parts_are_put_together_as_python_does(self, server, visit) -> None:
        run = done(server, "heat")
        page = visit(f"{server.url}#run={run}")
        panel = page.locator(".panel")
        panel.wait_for()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.method))
        page.get_by_label("M transition").uncheck()
        page.get_by_label("β").fill("0.13")
        expect(panel.locator(".named").first).to_have_text("shown: no-gate, no run of the model")
        expected = read(recombine(server.session._attribution(run, 0), "no-gate", beta=0.13))
        strongest = expected.strongest(1)[0]
        row = panel.locator(".strongest tbody tr").first
        expect(row.locator("th")).to_have_text(expected.prompt[strongest].text)
        shown = float(row.locator("td").first.text_content())
        assert shown == pytest.approx(expected.numbers()[strongest], rel=1e-3)
        with page.expect_download() as loaded:
            panel.get_by_role("link", name="JSON").click()
        found = heat.Attribution.from_json(Path(loaded.value.path()).read_text())
        assert (found.method, found.config["beta"]) == ("no-gate", 0.13)
        assert "POST" not in requests
        page.get_by_label("S curvature").uncheck()
        expect(page.get_by_label("I information")).to_be_disabled()  # one part must stay
        page.get_by_role("button", name="Reset").click()
        expect(page.get_by_label("M transition")).to_be_checked()

    def test_methods_stand_in_rows_of_the_same_words(self, server, visit) -> None:
        names = ("heat", "kl-only", "input-x-gradient")
        run = done(server, *names)
        page = visit(f"{server.url}#run={run}")
        expect(page.locator(".layer")).to_have_count(3)
        found = [server.session._attribution(run, index) for index in range(3)]
        readings = [read(one) for one in found]
        n_words = len(readings[0].prompt)

        def shades(row: int) -> list[float]:
            steps = [
                re.search(r"\b(for|against)-(\d+)", cell(page, at, row).get_attribute("class") or "")
                for at in range(n_words)
            ]
            return [
                0.0 if each is None else int(each[2]) / 20 * (1 if each[1] == "for" else -1) for each in steps
            ]

        for target in (None, 1):
            if target is not None:
                word(page, n_words + target).hover()
            for row, reading in enumerate(readings):
                expected = reading.shares(target=target)[:n_words]
                until(lambda row=row, expected=expected: shades(row) == pytest.approx(expected, abs=0.026))
        compared = page.locator(".comparison")
        figures = compared.locator("table").first.locator("tbody td").all_text_contents()
        values = heat.compare(found).correlation.ravel()
        assert [float(text.replace("−", "-")) for text in figures] == pytest.approx(values, abs=0.0051)
        rows = compared.locator("table").last.locator("tbody tr")
        disagreements = heat.compare(found).disagreements[:10]
        assert rows.locator("th").all_text_contents() == [one.text for one in disagreements]
        ranks = rows.locator("td").all_text_contents()
        assert [float(rank) for rank in ranks] == [rank for one in disagreements for rank in one.ranks]
        # The names stand before each line of the text.
        labels = page.locator(".map .label")
        tops = {round(cell(page, at, 0).bounding_box()["y"]) for at in range(n_words)}
        assert labels.count() == 3 * len(tops)
        assert labels.first.text_content() == "A heat"
        for row in range(3):
            gap = labels.nth(row).bounding_box()["y"] - cell(page, 0, row).bounding_box()["y"]
            assert abs(gap) < 3

    def test_parts_move_one_method_of_several(self, server, visit) -> None:
        run = done(server, "heat", "kl-only")
        page = visit(f"{server.url}#run={run}")
        expect(page.locator(".layer")).to_have_count(2)
        page.get_by_label("M transition").uncheck()
        found = [server.session._attribution(run, index) for index in range(2)]
        value = heat.compare([recombine(found[0], "no-gate"), found[1]]).correlation[0, 1]
        expect(page.locator(".correlation strong")).to_have_text(f"{value:.2f}".replace("-", "−"))
        with page.expect_download() as loaded:
            page.locator(".files").get_by_role("link", name="JSON").first.click()
        document = json.loads(Path(loaded.value.path()).read_text())
        assert document["comparison"]["spearman"]["no-gate"]["kl-only"] == pytest.approx(value)
        assert "--method no-gate --method kl-only" in document["command"]

    def test_units(self, server, visit) -> None:
        run = done(server, "heat", prompt=PROMPT + "\nIron.")
        page = visit(f"{server.url}#run={run}")
        page.locator(".panel").wait_for()
        assert page.locator("#look-unit option[value=message]").is_disabled()
        found = server.session._attribution(run, 0)
        page.locator("#look-aggregation").select_option("sum")
        for unit in ("token", "sentence", "line"):
            page.locator("#look-unit").select_option(unit)
            expected = found.by(unit, "sum")
            shown = page.locator(".of-prompt").all_text_contents()
            assert [text.strip() for text in shown] == [piece.text for piece in read(found, unit).prompt]
            rows = page.locator(".strongest tbody tr")
            numbers = [abs(float(text)) for text in rows.locator("td:nth-child(2)").all_text_contents()]
            total = sorted(map(abs, expected.scores.sum(0)), reverse=True)[: len(numbers)]
            assert numbers == pytest.approx(total, rel=1e-3)
        word(page, 1).hover()
        expect(page.locator(".readout")).to_contain_text(" of 2")
        with page.expect_download() as loaded:
            page.locator(".files").get_by_role("link", name="HTML").click()
        assert "--unit line --aggregation sum" in Path(loaded.value.path()).read_text()

    def test_a_token_is_contrasted(self, server, visit) -> None:
        page = visit(server.url)
        page.get_by_label("Prompt", exact=True).fill(PROMPT)
        page.get_by_label("The answer").fill(" iron gate made of copper")
        page.locator("#max-targets").fill("64")
        page.get_by_role("button", name="Explain").click()
        page.locator(".panel").wait_for()
        expect(page.get_by_role("button", name="Contrast")).to_be_disabled()
        page.locator(".of-answer").nth(1).click()
        page.get_by_role("button", name="Contrast").click()
        assert page.evaluate("document.activeElement.id") == "foil"
        page.keyboard.type(" copper")
        expect(page.locator("#foil-at")).to_have_value("2")
        page.keyboard.press("Control+Enter")
        until(lambda: len(server.json("GET", "state")["runs"]) == 2)
        expect(page.locator(".note").nth(1)).to_contain_text("Tokens with a foil are explained against it")
        expect(page.locator(".note").first).to_contain_text("on the text: without it")
        page.locator(".of-answer").nth(1).hover()
        expect(page.locator(".readout")).to_contain_text("rather than")
        expect(page.locator(".readout")).to_contain_text("divergence")

    def test_both_prompts_in_one_file(self, server, visit, browser) -> None:
        first, second = (
            done(server, "kl-only"),
            done(server, "kl-only", prompt=PROMPT.replace("iron", "zinc")),
        )
        page = visit(f"{server.url}#run={first}&with={second}")
        expect(page.locator(".comparison")).to_contain_text("ranks are not compared")
        with page.expect_download() as loaded:
            page.locator(".comparison").get_by_role("link", name="HTML").click()
        context = browser.new_context()
        alone, said = context.new_page(), []
        alone.on("console", lambda message: said.append(message.text))
        alone.set_content(Path(loaded.value.path()).read_text())
        for at, metal in enumerate(("iron", "zinc")):
            frame = alone.frame_locator("iframe").nth(at)
            expect(frame.locator(".map")).to_contain_text(metal)
            style = "element => getComputedStyle(element).whiteSpaceCollapse"
            assert frame.locator(".map").evaluate(style) == "preserve"
        assert said == []
        context.close()

    def test_two_prompts_beside_each_other(self, server, visit) -> None:
        first, second = (
            done(server, "kl-only"),
            done(server, "kl-only", prompt=PROMPT.replace("iron", "zinc")),
        )
        page = visit(f"{server.url}#run={first}")
        page.locator(f"#runs [data-run='{second}'] .beside").click()
        expect(page.locator(".run")).to_have_count(2)
        boxes = [page.locator(".run").nth(at).bounding_box() for at in range(2)]
        assert boxes[0]["x"] < boxes[1]["x"]
        page.reload()
        expect(page.locator(".run .panel")).to_have_count(2)
        page.locator(".run").nth(1).get_by_role("button", name="Close").click()
        expect(page.locator(".run")).to_have_count(1)

    def test_tokens_that_do_not_depend_on_the_text_are_told_apart(self, server, visit) -> None:
        answer = heat.answer(LM, PROMPT, " iron and copper", threshold=0)
        threshold = sorted(token.divergence for token in answer.tokens)[len(answer.tokens) // 2]
        run = done(server, "kl-only", threshold=threshold, max_targets=64)
        page = visit(f"{server.url}#run={run}")
        page.locator(".panel").wait_for()
        free = ["free" in made.get_attribute("class").split() for made in page.locator(".of-answer").all()]
        assert free == [token.divergence < threshold for token in answer.tokens]
        page.locator(".of-answer.free").first.hover()
        expect(page.locator(".readout")).to_contain_text("does not depend on the text")

    def test_markup_is_inert(self, server, visit) -> None:
        run = done(server, "kl-only", prompt=HOSTILE[:60])
        page = visit(f"{server.url}#run={run}")
        assert page.locator(".map").text_content() == HOSTILE[:60]
        assert page.title() == "HEAT"
        assert page.locator("main script, main img").count() == 0

    def test_right_to_left(self, server, visit) -> None:
        run = done(server, "kl-only", prompt=RIGHT_TO_LEFT)
        page = visit(f"{server.url}#run={run}")
        page.locator(".panel").wait_for()
        places = [word(page, at).bounding_box()["x"] for at in range(3)]
        assert places == sorted(places, reverse=True)
        word(page, 0).focus()
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("document.activeElement.dataset.at") == "1"

    @pytest.mark.parametrize("width", [390, 1280])
    def test_nothing_is_wider_than_the_window(self, server, visit, width) -> None:
        first, second = (
            done(server, "heat", "kl-only"),
            done(server, "kl-only", prompt=PROMPT + " It is." * 3),
        )
        page = visit(f"{server.url}#run={first}&with={second}", viewport={"width": width, "height": 860})
        expect(page.locator(".layer")).to_have_count(3)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator(".run").first.get_by_role("button", name="Close").click()
        expect(page.locator(".run")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


class TestLongTexts:
    N = 2000

    @pytest.fixture
    def long(self, tmp_path) -> Iterator[tuple[Serving, str]]:
        text = " ".join(f"word{at}" for at in range(self.N + 20))
        spans, at = [], 0
        for each in text.split(" "):
            spans.append((at, at + len(each)))
            at += len(each) + 1
        generator = torch.Generator().manual_seed(0)
        scores = torch.rand(20, self.N + 20, generator=generator) ** 8
        parts = {
            name: torch.rand(20, self.N + 20, generator=generator) ** 4
            for name in ("transition", "curvature", "information")
        }
        handmade = made(text, spans, scores.tolist(), 20, parts)
        from dataclasses import replace

        handmade = replace(handmade, method="heat", config=heat.methods()["heat"]().config())
        request = ExplainRequest.model_validate_json('{"prompt": "x", "methods": [{"name": "heat"}]}')
        with History(tmp_path / "h") as history:
            history.add(Asked(run="long", time=0.0, key="key-long", request=request, model="m", revision="1"))
            history.keep("long", 0, handmade)
            history.add(Ended(run="long", time=1.0, status="done"))
        running = Serving(LM, tmp_path / "h")
        yield running, "long"
        running.stop()

    def test_hovering_touches_only_what_changes_and_moves_nothing(self, long, visit) -> None:
        """Counted, not timed: listeners, elements that change, and layouts."""
        server, run = long
        page = visit(f"{server.url}#run={run}")
        expect(page.locator(".of-prompt")).to_have_count(self.N)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")

        def metrics() -> dict[str, float]:
            found = session.send("Performance.getMetrics")["metrics"]
            return {each["name"]: each["value"] for each in found}

        assert metrics()["JSEventListeners"] < 150
        map_box = page.locator(".map").bounding_box()
        page.evaluate(
            """() => {
              window.changed = 0;
              new MutationObserver((all) => { window.changed += all.length; })
                .observe(document.querySelector(".map"), { attributes: true, subtree: true });
            }"""
        )
        began = time.perf_counter()
        before = metrics()
        for target in range(10):
            word(page, self.N + target).hover()
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        after = metrics()
        spent = {
            name: (after[name] - before[name]) / 10
            for name in ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration", "TaskDuration")
        }
        print({name: f"{1000 * value:.1f} ms" for name, value in spent.items()}, time.perf_counter() - began)
        changed = page.evaluate("window.changed") / 10
        assert 0 < changed < self.N  # of the 2,000 words, those whose colour is another
        assert page.locator(".map").bounding_box() == map_box
        # Far above the 60 ms seen on a busy machine of two cores.
        assert spent["ScriptDuration"] + spent["LayoutDuration"] + spent["RecalcStyleDuration"] < 0.5

    def test_what_is_out_of_sight_is_coloured_when_it_is_seen_or_one_rests(self, long, visit) -> None:
        server, run = long
        page = visit(f"{server.url}#run={run}")
        expect(page.locator(".of-prompt")).to_have_count(self.N)
        expected = read(server.session._attribution(run, 0)).shares(target=3)[: self.N]
        steps = [f"for-{round(20 * share)}" if share >= 0.025 else "" for share in expected]
        script = """elements => elements.map(({ className }) => className.match(/for-\\d+/)?.[0] ?? "")"""

        def shown() -> list[str]:
            return page.locator(".of-prompt").evaluate_all(script)

        word(page, self.N + 3).hover()
        until(lambda: shown() == steps)
        word(page, self.N + 4).click()
        page.mouse.move(5, 5)
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        last = read(server.session._attribution(run, 0)).shares(target=4)[: self.N]
        until(
            lambda: (
                shown()[-3:] == [f"for-{round(20 * share)}" if share >= 0.025 else "" for share in last[-3:]]
            )
        )


class TestNothingIsLost:
    def test_a_server_killed_in_the_middle(self, tmp_path, visit) -> None:
        server = ServingProcess(tmp_path / "h")
        try:
            page = visit(server.url)
            page.get_by_label("Prompt", exact=True).fill(PROMPT)
            page.locator("#depending").uncheck()
            page.locator("#max-targets").fill("1")
            page.locator(".method > select").select_option("kl-only")
            page.get_by_role("button", name="Add a method").click()
            second = page.locator(".method").nth(1)
            second.locator("> select").select_option("hessian-only")
            second.locator("summary").click()
            second.get_by_label("n_probes").fill("5000")
            page.get_by_role("button", name="Explain").click()
            expect(page.locator(".panel")).to_have_count(1)
            expect(page.locator(".status")).to_contain_text("hessian-only, 2 of 2")
            words = page.locator(".strongest").text_content()
            server.kill()
            banner = page.locator("[data-kind=offline]")
            expect(banner).to_contain_text("What was shown is on the disk")
            expect(banner).to_contain_text(f"--port {server.port} --token")
            server.start()
            expect(banner).to_have_count(0)
            expect(page.locator(".status")).to_contain_text("The server stopped before this was done")
            page.reload()
            expect(page.locator(".panel")).to_have_count(1)
            assert page.locator(".strongest").text_content() == words
        finally:
            server.kill()


@pytest.mark.skipif(
    not AXE.is_file(), reason="set AXE_JS to the axe.min.js of axe-core to check accessibility"
)
class TestAccessibility:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    def test_axe(self, server, browser, scheme, width) -> None:
        run = done(server, "heat", "kl-only")
        other = server.submit(asked(**SLOW))
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 860}, bypass_csp=True
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(f"{server.url}#run={run}&with={other}")
        expect(page.locator(".layer")).to_have_count(2)
        expect(page.locator("progress[value]")).to_be_visible()
        page.add_script_tag(path=str(AXE))
        for state in ("plain", "options", "pinned", "refused", "help"):
            if state == "options":
                page.locator(".method details").first.click()
            if state == "pinned":
                word(page, len(PROMPT.split())).click()
            if state == "refused":
                page.get_by_label("Prompt", exact=True).fill(PROMPT)
                page.get_by_label("n_probes").fill("many")
                page.get_by_role("button", name="Explain").click()
                page.locator("[data-kind=refused]").wait_for()
            if state == "help":
                page.locator("#open-help").click()
            found = page.evaluate("axe.run()")
            assert [
                (each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]
            ] == [], state
            assert len(found["passes"]) > 15
        context.close()
        server.session.worker.cancel(other)
