"""Progress: time left by the pace of this run, and lines where there is no terminal."""

import io
import time

import pytest
from rich.console import Console

from annotate.progress import PacedProgress, ProgressLines, line, make_progress, seconds_left


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def paced(clock: Clock) -> PacedProgress:
    return PacedProgress(console=Console(file=io.StringIO()), disable=True, get_time=clock)


def test_there_is_an_estimate_after_the_first_unit(clock: Clock) -> None:
    bars = paced(clock)
    task = bars.add_task("heat", total=10)
    assert seconds_left(bars.tasks[0]) is None
    clock.now += 60
    bars.update(task, completed=1)
    assert seconds_left(bars.tasks[0]) == pytest.approx(540)
    assert line(bars.tasks[0]) == "heat: 1 of 10, 0:01:00 elapsed, ETA 0:09:00"
    clock.now += 60
    assert seconds_left(bars.tasks[0]) == pytest.approx(1080)  # slow since: no old pace is believed
    bars.update(task, completed=10)
    assert seconds_left(bars.tasks[0]) == 0


def test_what_was_there_already_is_no_pace(clock: Clock) -> None:
    bars = paced(clock)
    task = bars.add_task("heat", total=100)
    bars.update(task, completed=80)
    clock.now += 50
    bars.update(task, completed=85)
    assert seconds_left(bars.tasks[0]) == pytest.approx(150)


def test_without_a_terminal_a_line_is_printed_now_and_then() -> None:
    stream = io.StringIO()
    bars = ProgressLines(Console(file=stream), interval=0.02)
    with bars:
        task = bars.add_task("heat", total=3)
        bars.update(bars.add_task("done", total=1), completed=1)
        bars.update(task, completed=2)
        until = time.monotonic() + 30
        while "heat: 2 of 3" not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    said = stream.getvalue()
    assert "heat: 2 of 3, 0:00:" in said
    assert "done" not in said
    time.sleep(0.1)
    assert stream.getvalue() == said  # nothing after the end


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with make_progress(quiet=True) as bars:
        bars.update(bars.add_task("heat", total=2), completed=1)
    assert capsys.readouterr() == ("", "")
