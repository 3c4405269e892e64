"""How the live page does with a long text, in a real browser: seconds to the first words, milliseconds while hovering.

    python benchmarks/live_page.py speed --tokens 2000 --methods 1 --methods 3
    python benchmarks/live_page.py picture live.png "The capital of France is" --model models/smollm2 --method heat

`picture` takes a picture of the page as one asks. Of `speed` the numbers are drawn (three stored parts, an
answer of 20 tokens), the server is that of `heat serve` on the embedded reader, and Debian's Chromium (`CHROMIUM`, else
/usr/bin/chromium) is driven by Playwright (extra `browser`). First paint is the browser's own; the words are there at
the frame that shows all of them. A hover lasts from the pointer's event to the end of the frame that shows what it
changed: tokens of the answer, which colour all words anew, and words, which colour the answer; CPU is what the page's
thread itself computes for one, whatever else the machine does. A long task is one of 50 ms or more, which a person sees
as a stutter.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from heat import Attribution
    from heat.serve.session import Session

TARGETS = 20
HOVERS = 40
PARTS = ("transition", "curvature", "information")
app = typer.Typer(help=__doc__, add_completion=False, rich_markup_mode=None)
METHODS = ("heat", "no-gate", "heat-windowed", "kl-only", "hessian-only", "transition-only")
Scheme = Literal["light", "dark"]
TOKEN = "token-of-the-benchmark"
# Words that are there, painted: two frames after the last one is.
WATCH = """(wanted) => {
  window.longTasks = [];
  new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((entry) => entry.duration)))
    .observe({ type: "longtask", buffered: true });
  const words = () => document.querySelectorAll(".map .r, .map .of-prompt:not(.u)").length;
  const note = () => requestAnimationFrame(() => { window.wordsAt = performance.now(); });
  const look = () => requestAnimationFrame(() => (words() >= wanted ? note() : look()));
  look();
}"""
# The message comes after the frame's style, layout and paint.
TIME_HOVERS = """() => {
  window.longTasks = [];
  window.hovers = [];
  const channel = new MessageChannel();
  let began = 0;
  channel.port1.onmessage = () => window.hovers.push(performance.now() - began);
  document.getElementById("board").addEventListener("pointerover", (event) => {
    began = event.timeStamp;
    requestAnimationFrame(() => channel.port2.postMessage(0));
  });
}"""


def handmade(name: str, n_tokens: int, seed: int) -> Attribution:
    """An attribution of a text of as many words, with drawn numbers."""
    import torch

    import heat

    text = " ".join(f"word{at}" for at in range(n_tokens + TARGETS))
    ends = [index for index, letter in enumerate(f"{text} ") if letter == " "]
    starts = [0, *(end + 1 for end in ends[:-1])]
    drawn = torch.Generator().manual_seed(seed)
    length = n_tokens + TARGETS

    def numbers() -> torch.Tensor:
        past = torch.arange(length) < torch.arange(n_tokens, length)[:, None]
        return torch.rand(TARGETS, length, generator=drawn) ** 6 * past

    return heat.Attribution(
        token_ids=tuple(range(length)),
        tokens=tuple(f"word{at}" for at in range(length)),
        offsets=tuple(zip(starts, ends, strict=True)),
        text=text,
        target_span=(n_tokens, length),
        scores=numbers(),
        log_probs=torch.full((TARGETS,), 0.5).log(),
        method=name,
        config=heat.methods()[name]().config(),
        model="drawn",
        revision="1",
        dtype="float32",
        seed=seed,
        forward_equivalents=1.0,
        seconds=1.0,
        components={part: numbers() for part in PARTS},
    )


@contextmanager
def served(session: Session) -> Iterator[str]:
    """The address of a live page."""
    from heat.serve.guard import HOST
    from heat.serve.server import create_app, listen, make_server

    with listen(0) as listener:
        port = listener.getsockname()[1]
        server = make_server(create_app(session, TOKEN, port))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://{HOST}:{port}/{TOKEN}/"
        finally:
            server.force_exit = server.should_exit = True
            thread.join()


@contextmanager
def drawn(folder: Path, n_tokens: int, n_methods: int) -> Iterator[str]:
    """The address of a live page that shows drawn numbers."""
    import heat
    from heat.serve.history import Asked, Ended, History
    from heat.serve.session import Session
    from heat.serve.wire import ExplainRequest, MethodChoice

    chosen = tuple(MethodChoice(name=name) for name in METHODS[:n_methods])
    request = ExplainRequest(prompt="drawn", methods=chosen)
    with History(folder) as history:
        history.add(Asked(run="long", time=0.0, key="key-long", request=request, model="drawn", revision="1"))
        for index in range(n_methods):
            history.keep("long", index, handmade(METHODS[index], n_tokens, index))
        history.add(Ended(run="long", time=1.0, status="done"))
    with History(folder) as history, served(Session(heat.load(), history)) as address:
        yield f"{address}#run=long"


@contextmanager
def chromium(width: int, scheme: Scheme) -> Iterator[Page]:
    """A page of the browser."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(600_000)
        yield page
        browser.close()


def measured(address: str, n_tokens: int, n_methods: int) -> str:
    """A line of the table."""
    with chromium(1280, "light") as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy() -> float:
            found = session.send("Performance.getMetrics")["metrics"]
            return float(next(each["value"] for each in found if each["name"] == "TaskDuration"))

        page.add_init_script(f"({WATCH})({n_tokens * n_methods})")
        page.goto(address)
        while page.evaluate("window.wordsAt") is None:
            page.wait_for_timeout(50)
        first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        words = page.evaluate("window.wordsAt")
        loading = page.evaluate("Math.max(0, ...window.longTasks)")
        page.wait_for_timeout(2000)
        page.evaluate(TIME_HOVERS)
        places = [hover // 2 if hover % 2 else n_tokens + (hover // 2) % TARGETS for hover in range(HOVERS)]
        boxes = [page.locator(f"[data-at='{at}']").bounding_box() for at in places]
        before = busy()
        for box in boxes:
            assert box is not None
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
            page.wait_for_timeout(120)
        spent = 1000 * (busy() - before) / HOVERS
        hovers = sorted(page.evaluate("window.hovers"))
        long = page.evaluate("window.longTasks")
    median, late, most = hovers[len(hovers) // 2], hovers[int(0.95 * len(hovers))], hovers[-1]
    return (
        f"{n_methods:7} {n_tokens:7,} {first / 1000:12.2f} {words / 1000:7.2f} {loading:13.0f}"
        f" {len(hovers):7} {spent:7.1f} {median:7.0f} {late:5.0f} {most:5.0f} {len(long):11}"
    )


@app.command()
def speed(
    tokens: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 2000,
    methods: Annotated[list[int] | None, typer.Option(help="How many methods; may be repeated.")] = None,
) -> None:
    """Measure the page with a long text."""
    print("methods  tokens first paint   words  longest task  hovers     CPU  median   95%   max  long tasks")
    print("                    seconds seconds            ms              ms      ms    ms    ms")
    for count in methods or [1, 3, 6]:
        with tempfile.TemporaryDirectory() as folder, drawn(Path(folder) / "h", tokens, count) as address:
            print(measured(address, tokens, count), flush=True)


@app.command()
def picture(
    file: Annotated[Path, typer.Argument(help="The PNG to come.")],
    prompt: Annotated[str, typer.Argument(help="The prompt.")],
    model: Annotated[str | None, typer.Option(help="As for heat serve.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    max_targets: Annotated[int, typer.Option(help="Tokens that the model says.")] = 6,
    token: Annotated[int, typer.Option(help="The token of the answer that is looked at; 0 for all.")] = 0,
    width: Annotated[int, typer.Option(help="Pixels.")] = 1280,
    scheme: Annotated[Scheme, typer.Option(help="Theme.")] = "light",
    running: Annotated[
        bool, typer.Option("--running", help="Not when all is done, but after the first method.")
    ] = False,
) -> None:
    """Ask as a person does, in the form, and take a picture of the page."""
    import heat
    from heat.serve.history import History
    from heat.serve.session import Session

    names = method or ["heat"]
    with tempfile.TemporaryDirectory() as folder, History(Path(folder)) as history:
        session = Session(heat.load(model), history)
        session.worker.start()
        with served(session) as address, chromium(width, scheme) as page:
            page.goto(address)
            page.locator("#explain:enabled").wait_for()
            page.get_by_label("Prompt", exact=True).fill(prompt)
            page.locator("#max-targets").fill(str(max_targets))
            for at, name in enumerate(names):
                if at:
                    page.get_by_role("button", name="Add a method").click()
                page.locator(".method > select").nth(at).select_option(name)
            page.get_by_role("button", name="Explain").click()
            page.locator(".layer").nth(0 if running else len(names) - 1).wait_for()
            page.locator("progress[value]" if running else "#activity:text-is('idle')").wait_for()
            if token:
                page.locator(".of-answer").nth(token - 1).click()
            place = "document.querySelector('#results').scrollIntoView()" if width < 800 else "scrollTo(0, 0)"
            page.evaluate(place)
            page.wait_for_timeout(1000)
            page.screenshot(path=file)
        session.worker.stop()
    print(f"wrote {file}")


if __name__ == "__main__":
    app()
