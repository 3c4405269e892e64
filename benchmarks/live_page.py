"""How the live page does with a long text, in a real browser: seconds to the first words, milliseconds while hovering.

    python benchmarks/live_page.py --tokens 2000 --methods 1 --methods 3

The numbers are drawn (three stored parts, an answer of 20 tokens), the server is that of `heat serve` on the embedded
reader, and Debian's Chromium (`CHROMIUM`, else /usr/bin/chromium) is driven by Playwright (extra `browser`). First
paint is the browser's own; the words are there at the frame that shows all of them. A hover lasts from the pointer's
event to the end of the frame that shows what it changed: tokens of the answer, which colour all words anew, and words,
which colour the answer; CPU is what the page's thread itself computes for one, whatever else the machine does. A long
task is one of 50 ms or more, which a person sees as a stutter.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from heat import Attribution

TARGETS = 20
HOVERS = 40
PARTS = ("transition", "curvature", "information")
METHODS = ("heat", "no-gate", "heat-windowed", "kl-only", "hessian-only", "transition-only")
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
def served(folder: Path, n_tokens: int, n_methods: int) -> Iterator[str]:
    """The address of a live page that holds one run."""
    import heat
    from heat.serve.guard import HOST
    from heat.serve.history import Asked, Ended, History
    from heat.serve.server import create_app, listen, make_server
    from heat.serve.session import Session
    from heat.serve.wire import ExplainRequest, MethodChoice

    chosen = tuple(MethodChoice(name=name) for name in METHODS[:n_methods])
    request = ExplainRequest(prompt="drawn", methods=chosen)
    with History(folder) as history:
        history.add(Asked(run="long", time=0.0, key="key-long", request=request, model="drawn", revision="1"))
        for index in range(n_methods):
            history.keep("long", index, handmade(METHODS[index], n_tokens, index))
        history.add(Ended(run="long", time=1.0, status="done"))
    with History(folder) as history, listen(0) as listener:
        port = listener.getsockname()[1]
        server = make_server(create_app(Session(heat.load(), history), TOKEN, port))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://{HOST}:{port}/{TOKEN}/#run=long"
        finally:
            server.force_exit = server.should_exit = True
            thread.join()


def measured(address: str, n_tokens: int, n_methods: int) -> str:
    """A line of the table."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
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
        browser.close()
    median, late, most = hovers[len(hovers) // 2], hovers[int(0.95 * len(hovers))], hovers[-1]
    return (
        f"{n_methods:7} {n_tokens:7,} {first / 1000:12.2f} {words / 1000:7.2f} {loading:13.0f}"
        f" {len(hovers):7} {spent:7.1f} {median:7.0f} {late:5.0f} {most:5.0f} {len(long):11}"
    )


def main(
    tokens: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 2000,
    methods: Annotated[list[int] | None, typer.Option(help="How many methods; may be repeated.")] = None,
) -> None:
    """Measure the live page."""
    print("methods  tokens first paint   words  longest task  hovers     CPU  median   95%   max  long tasks")
    print("                    seconds seconds            ms              ms      ms    ms    ms")
    for count in methods or [1, 3, 6]:
        with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "h", tokens, count) as address:
            print(measured(address, tokens, count), flush=True)


if __name__ == "__main__":
    typer.run(main)
