"""The review page in a real browser: Debian's Chromium, driven by Playwright (extra ``browser``)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraph, make_paragraphs
from fakes.reviewing import Reviewing

from annotate.gold import settle
from annotate.label_files import write_labels

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the extra [browser] (Playwright) is not installed"
)
pytest.importorskip("starlette", reason="the extra [review] is not installed")
pytest.importorskip("uvicorn", reason="the extra [review] is not installed")
expect = sync_api.expect

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
AXE = Path(os.environ.get("AXE_JS", "/nowhere"))
pytestmark = pytest.mark.skipif(
    not CHROMIUM.is_file(), reason=f"there is no Chromium at {CHROMIUM}; set CHROMIUM"
)

HOSTILE = """He wrote <script>document.title="owned"</script> and <img src=x onerror="document.title=1"> &amp; 'so'."""
RIGHT_TO_LEFT = "قال المعلم إن النحاس 😀 ينقل الحرارة.\nThen he left 👩🏽‍🚀 the room."
PARAGRAPHS = [
    *make_paragraphs(4),
    make_paragraph("hostile", HOSTILE, "What is <b>bold</b>?", "<i>x</i>"),
    make_paragraph("rtl", RIGHT_TO_LEFT, "ماذا ينقل الحرارة؟", "النحاس"),
]
A, B = [12, 13, 16, 17], [13, 14, 17]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def context(browser):
    made = browser.new_context(viewport={"width": 1280, "height": 860})
    made.set_default_timeout(8000)
    yield made
    made.close()


@pytest.fixture
def serve(tmp_path):
    """Start a review of a benchmark with marks of A, B (and C)."""
    running = []

    def start(*options: str, names: str = "AB", paragraphs=PARAGRAPHS) -> Reviewing:
        benchmark = make_benchmark(tmp_path / "b", paragraphs)
        for name, words in zip(names, (A, B, [1]), strict=False):
            write_labels(benchmark.labels_dir, name, [make_label(p, name, words) for p in paragraphs])
        running.append(Reviewing(benchmark, *options))
        return running[-1]

    yield start
    for server in running:
        server.kill()


@pytest.fixture
def visit(context):
    """Open the page in a new tab, at one paragraph; errors of the page fail the test."""
    errors: list[str] = []

    def opened(server: Reviewing, paragraph: int | str = ""):
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server.url}#{paragraph}")
        page.locator("#words .w").first.wait_for()
        return page

    yield opened
    assert errors == []


def word(page, index: int):
    return page.locator(f"#words [data-word='{index}']")


def mine(page) -> list[int]:
    return [int(made.get_attribute("data-word")) for made in page.locator("#words [aria-pressed=true]").all()]


def saved(page) -> None:
    expect(page.locator("#saved")).to_have_text("saved")


def last(server: Reviewing, identifier: str = "p00000"):
    return [review for review in server.reviews() if review.paragraph_id == identifier][-1]


class TestMarking:
    def test_what_is_shown(self, serve, visit) -> None:
        page = visit(serve(), 0)
        assert page.locator("#words h2").all_text_contents() == ["Narrative", "Support", "Question"]
        kinds = {i: word(page, i).get_attribute("class").split() for i in (12, 13, 14, 15)}
        assert kinds == {12: ["w", "only-a"], 13: ["w", "agreed", "mine"], 14: ["w", "only-b"], 15: ["w"]}
        assert mine(page) == [13, 17]
        looks = {
            i: word(page, i).evaluate(
                "e => { const s = getComputedStyle(e); return s.backgroundImage + s.borderBottomStyle }"
            )
            for i in (12, 13, 14)
        }
        assert (
            len({re.sub(r"rgba?\([^)]*\)", "", look) for look in looks.values()}) == 3
        )  # not by colour alone
        expect(page.locator("#legend")).to_contain_text("A only: A")

    def test_by_mouse(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 0)
        word(page, 3).click()
        assert mine(page) == [3, 13, 17]
        word(page, 13).click()
        assert mine(page) == [3, 17]
        word(page, 5).hover()
        page.mouse.down()
        word(page, 7).hover()
        assert word(page, 6).get_attribute("class") == "w range"
        word(page, 8).hover()
        page.mouse.up()
        assert mine(page) == [3, 5, 6, 7, 8, 17]
        page.get_by_role("button", name="Flag", exact=True).click()
        page.get_by_label("Note").fill("two senses of plum")
        page.get_by_role("button", name="Save and next").click()
        expect(page.locator("#place")).not_to_contain_text("p00000")
        saved(page)
        review = last(server)
        assert (review.words, review.done, review.flag) == ((3, 5, 6, 7, 8, 17), True, True)
        assert (review.note, review.annotators) == ("two senses of plum", ("A", "B"))
        assert [each.action for each in server.reviews()] == [
            "toggle",
            "toggle",
            "range",
            "flag",
            "note",
            "save",
        ]

    def test_by_keyboard_only(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 0)
        keys = page.keyboard
        for key, marked in (
            ("a", [12, 13, 16, 17]),
            ("b", [13, 14, 17]),
            ("u", [12, 13, 14, 16, 17]),
            ("i", [13, 17]),
            ("c", []),
            ("z", [13, 17]),
            ("z", [12, 13, 14, 16, 17]),
            ("y", [13, 17]),
        ):
            keys.press(key)
            assert mine(page) == marked, key
        keys.press("Home")
        keys.press("ArrowRight")
        keys.press("Space")
        assert mine(page) == [1, 13, 17]
        for _ in range(2):
            keys.press("Shift+ArrowRight")
        keys.press("Shift+ArrowRight")
        keys.press("Shift+ArrowLeft")
        assert word(page, 2).get_attribute("class") == "w range"
        keys.press("Space")
        assert mine(page) == [13, 17]  # a range becomes what its first word was not
        keys.press("Space")
        assert mine(page) == [3, 13, 17]
        keys.press("ArrowDown")
        focused = int(page.evaluate("document.activeElement.dataset.word"))
        assert word(page, focused).bounding_box()["y"] > word(page, 3).bounding_box()["y"]
        keys.press("x")
        keys.press("Enter")
        expect(page.locator("#place")).to_contain_text("p00001")
        keys.press("k")
        expect(page.locator("#place")).to_contain_text("p00000 · 2 of 6 · done · flagged · 3 words marked")
        keys.press("j")
        expect(page.locator("#place")).to_contain_text("p00001")
        keys.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        keys.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        saved(page)
        assert (last(server).words, last(server).done) == ((3, 13, 17), True)
        expect(page.locator("#count")).to_have_text("1/6")

    def test_keys_reach_everything_in_order(self, serve, visit) -> None:
        page = visit(serve(), 0)
        page.evaluate("document.activeElement.blur(); window.getSelection().removeAllRanges()")
        stops = []
        for _ in range(45):  # from where the browser is, once around and on
            page.keyboard.press("Tab")
            stops.append(
                page.evaluate(
                    "(e => e.id || e.dataset.action || e.dataset.filter || (e.dataset.paragraph && 'row')"
                    " || (e.dataset.word && 'word') || e.className)(document.activeElement)"
                )
            )
        wanted = ["skip", "open-help", "pending", "done", "flagged", "unresolved", "all", "row", "word"]
        wanted += [
            "accept-a",
            "accept-b",
            "union",
            "intersection",
            "clear",
            "flag",
            "previous",
            "next",
            "save",
            "note",
        ]
        at = stops.index("skip")
        assert stops[at : at + len(wanted)] == wanted

    def test_a_letter_typed_in_the_note_is_no_command(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 0)
        page.get_by_label("Note").focus()
        page.keyboard.type("cabbage\n")
        page.keyboard.press("Tab")
        saved(page)
        assert mine(page) == [13, 17]
        assert {review.action for review in server.reviews()} == {"note"}

    def test_undo_survives_a_reload(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 0)
        page.keyboard.press("c")
        page.keyboard.press("a")
        saved(page)
        page.reload()
        page.locator("#words .w").first.wait_for()
        assert mine(page) == A
        page.keyboard.press("z")
        assert mine(page) == []
        page.keyboard.press("z")
        assert mine(page) == [13, 17]
        page.keyboard.press("y")
        saved(page)
        assert last(server).words == ()


class TestText:
    def test_markup_in_the_text_is_inert(self, serve, visit) -> None:
        page = visit(serve(), 4)
        expect(page.locator("#question")).to_have_text("What is <b>bold</b>?")
        expect(page.locator("#answer")).to_have_text("<i>x</i>")
        assert HOSTILE in page.locator(".support .text").text_content()
        assert page.title() == "Review"
        assert page.locator("main script, main img, main b, main i").count() == 0

    def test_right_to_left_emoji_and_line_breaks(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 5)
        text = page.locator(".support .text")
        assert text.text_content() == RIGHT_TO_LEFT
        assert text.evaluate("e => getComputedStyle(e).direction") == "rtl"
        first = PARAGRAPHS[5].words_in("support")[0]
        places = [word(page, first + step).bounding_box()["x"] for step in range(3)]
        assert places == sorted(places, reverse=True)
        word(page, first).click()
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("document.activeElement.dataset.word") == str(first + 1)
        emoji = PARAGRAPHS[5].word_texts().index("👩🏽‍🚀")
        assert word(page, emoji).bounding_box()["y"] > word(page, first).bounding_box()["y"]
        word(page, emoji).click()
        saved(page)
        assert emoji in last(server, "rtl").words


class TestNothingIsLost:
    def test_a_server_killed_in_the_middle(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 0)
        page.keyboard.press("a")
        saved(page)
        server.kill()
        for key in ("c", "x"):
            page.keyboard.press(key)
        word(page, 2).click()
        expect(page.locator("#saved")).to_have_text("3 not saved yet")
        banner = page.locator("[data-kind=offline]")
        expect(banner).to_contain_text("The server does not answer. Nothing is lost")
        expect(banner).to_contain_text(f"--port {server.port} --token")
        server.start()
        saved(page)
        expect(banner).to_have_count(0)
        assert [review.action for review in server.reviews()] == ["accept-a", "clear", "flag", "toggle"]
        page.keyboard.press("z")
        saved(page)
        assert last(server).words == ()

    def test_a_tab_closed_while_the_server_is_away(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 0)
        server.kill()
        page.keyboard.press("u")
        page.keyboard.press("Enter")
        expect(page.locator("#saved")).to_have_text("2 not saved yet")
        page.close()
        server.start()
        page = visit(server, 0)
        saved(page)
        expect(page.locator("#place")).to_contain_text("done")
        assert [(review.action, review.words) for review in server.reviews()] == [
            ("union", (12, 13, 14, 16, 17)),
            ("save", (12, 13, 14, 16, 17)),
        ]

    def test_an_answer_lost_on_the_way_is_not_written_twice(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 0)
        lost = []

        def lose(route) -> None:
            if lost:
                route.continue_()
            else:
                lost.append(route.fetch())
                route.abort()

        page.route("**/api/reviews", lose)
        page.keyboard.press("c")
        page.keyboard.press("a")
        expect(page.locator("#saved")).to_have_text("2 not saved yet")
        saved(page)
        assert lost[0].ok
        assert [review.action for review in server.reviews()] == ["clear", "accept-a"]

    def test_two_tabs(self, serve, visit) -> None:
        server = serve()
        first, second = visit(server, 0), visit(server, 0)
        for page in (first, second):
            expect(page.locator("[data-kind=tabs]")).to_contain_text("open in another tab too")
        first.keyboard.press("a")
        saved(first)
        second.keyboard.press("c")
        refused = second.locator("[data-kind=refused]")
        expect(refused).to_contain_text("p00000 was changed elsewhere")
        expect(second.locator("#saved")).to_have_text("1 not saved yet")
        assert last(server).words == tuple(A)
        refused.get_by_role("button", name="Drop mine and reload").click()
        saved(second)
        expect(refused).to_have_count(0)
        expect(word(second, 16)).to_have_attribute("aria-pressed", "true")
        assert mine(second) == A
        second.keyboard.press("b")
        saved(second)
        assert last(server).words == tuple(B)
        expect(first.locator("[data-kind=elsewhere]")).to_be_visible()
        first.get_by_role("button", name="Reload the queue").click()
        expect(word(first, 14)).to_have_attribute("aria-pressed", "true")

    def test_other_settings(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 0)
        server.kill()
        page.keyboard.press("c")
        expect(page.locator("#saved")).to_have_text("1 not saved yet")
        server.options = ("--reviewer", "another")
        server.start()
        page.get_by_role("button", name="Reload the page").click()
        expect(page.locator("#who")).to_contain_text("another sees")
        expect(page.locator("#place")).to_contain_text("2 words marked")
        server.kill()
        server.options = ()
        server.start()
        page = visit(server, 0)
        expect(page.locator("#place")).to_contain_text("0 words marked")
        assert [(review.reviewer, review.action) for review in server.reviews()] == [("reviewer", "clear")]

    def test_another_token(self, serve, visit) -> None:
        server = serve()
        page = visit(server, 0)
        server.kill()
        page.keyboard.press("c")
        server.start(token="another-token-of-tests")
        expect(page.locator("[data-kind=token]")).to_contain_text("What you did is kept")
        page.close()
        page = visit(server, 0)
        saved(page)
        assert last(server).action == "clear"


class TestQueue:
    def test_filters(self, serve, visit) -> None:
        page = visit(serve("--filter", "all"), 0)
        page.keyboard.press("x")
        page.keyboard.press("Enter")
        expect(page.locator("#place")).to_contain_text("p00001")
        page.keyboard.press("Enter")
        saved(page)
        counts = page.locator("#filters button").all_text_contents()
        assert counts == ["Pending 4", "Done 2", "Flagged 1", "Unresolved quotes 0", "All 6"]
        page.get_by_role("button", name="Flagged 1").click()
        expect(page.locator("#place")).to_contain_text("p00000 · 1 of 1")
        page.get_by_role("button", name="Unresolved quotes").click()
        expect(page.locator("#empty")).to_contain_text("No paragraph is here")
        page.get_by_role("button", name="Pending 4").click()
        expect(page.locator("#list button")).to_have_count(4)

    def test_two_thousand_paragraphs_do_not_hold_up_the_first(self, serve, context) -> None:
        """Counted, not timed: what is fetched before the first words stand, and rows made without a pause."""
        server = serve(paragraphs=make_paragraphs(2000))
        page = context.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url.removeprefix(server.url)))
        page.add_init_script(
            """window.made = [];
            new MutationObserver((changes) => {
              const rows = changes.flatMap((change) => [...change.addedNodes]).filter((node) => node.nodeName === "LI");
              if (rows.length) window.made.push(rows.length);
            }).observe(document, { childList: true, subtree: true });"""
        )
        page.goto(server.url)
        page.locator("#words .w").first.wait_for()
        asked = [path for path in requests if path.startswith("api/")]
        assert sorted(asked[:3]) == ["api/paragraphs/0?pair=0,1", "api/queue", "api/session"]
        expect(page.locator("#list button")).to_have_count(2000)
        made = page.evaluate("window.made")
        assert (max(made), sum(made)) == (60, 2000)

    def test_three_annotators_two_at_once(self, serve, visit) -> None:
        server = serve(names="ABC")
        page = visit(server, 0)
        page.get_by_label("Annotator B").select_option("C")
        expect(word(page, 1)).to_have_class("w only-b")
        page.keyboard.press("b")
        saved(page)
        assert (last(server).words, last(server).annotators) == ((1,), ("A", "C"))

    def test_blind(self, serve, visit) -> None:
        server = serve("--blind", "--seed", "1")
        page = visit(server, 0)
        expect(page.locator("#legend")).to_contain_text("name hidden")
        page.keyboard.press("a")
        saved(page)
        review = last(server)
        assert review.mode == "blind"
        assert review.words == tuple({"A": A, "B": B}[review.annotators[0]])

    def test_audit_to_gold(self, serve, visit) -> None:
        server = serve("--audit", "--reviewer", "mira")
        page = visit(server, 0)
        assert page.locator("#words .agreed, #words .only-a, #words .only-b").count() == 0
        assert mine(page) == []
        expect(page.get_by_role("button", name="Accept A")).to_be_hidden()
        page.keyboard.press("a")
        word(page, 13).click()
        page.keyboard.press("Enter")
        saved(page)
        server.interrupt()
        assert [review.mode for review in server.reviews()] == ["audit", "audit"]
        (gold,) = settle(server.benchmark, "reviewed").gold
        assert [(each.index, each.origin) for each in gold.words] == [(13, "agreed")]


@pytest.mark.skipif(
    not AXE.is_file(), reason="set AXE_JS to the axe.min.js of axe-core to check accessibility"
)
class TestAccessibility:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    @pytest.mark.parametrize("mode", ["review", "audit"])
    def test_axe(self, serve, browser, scheme, width, mode) -> None:
        server = serve(*(["--audit"] if mode == "audit" else []))
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 860}, bypass_csp=True
        )
        page = context.new_page()
        page.goto(f"{server.url}#0")
        page.locator("#words .w").first.wait_for()
        page.add_script_tag(path=str(AXE))
        for state in ("plain", "offline", "help"):
            if state == "offline":
                server.kill()
                page.keyboard.press("x")
                page.locator("[data-kind=offline]").wait_for()
            if state == "help":
                page.keyboard.press("?")
            found = page.evaluate("axe.run()")
            assert [
                (each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]
            ] == []
            assert len(found["passes"]) > 15
        context.close()
