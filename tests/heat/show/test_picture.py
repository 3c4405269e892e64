import io
import warnings

import numpy as np
import pytest
from fakes.attributions import made
from matplotlib.image import imread

from heat.show.colours import background
from heat.show.picture import DPI, WIDTH, picture


def pixels(content: bytes) -> np.ndarray:
    assert content.startswith(b"\x89PNG")
    return np.asarray(imread(io.BytesIO(content)))[:, :, :3] * 255


def has(image: np.ndarray, share: float) -> bool:
    return bool((np.abs(image - np.array(background(share))).max(-1) < 2).sum() > 50)


def test_boxes_have_the_colour_of_their_word() -> None:
    spans = [(0, 2), (2, 5), (5, 9)]
    image = pixels(picture(made("go on yes", spans, [[1.0, 0.5, 0.0]])))
    assert image.shape[1] == WIDTH * DPI
    assert has(image, 1.0)
    assert has(image, 0.5)
    assert not has(image, -1.0)
    assert has(pixels(picture(made("go on yes", spans, [[-1.0, 0.5, 0.0]]))), -1.0)


def test_is_the_same_each_time() -> None:
    attribution = made("go on", [(0, 2), (2, 5)], [[1.0, 0.0]])
    assert picture(attribution) == picture(attribution)


@pytest.mark.parametrize(
    "text",
    [
        "$x_{$ \\frac",
        "\U0001f469\u200d\U0001f680 今天 שלום",
        "\ue000 \u202e \x1b[31m",
        "a" * 5000,
        "tab\tand\n\n\nlines",
    ],
)
def test_any_text_is_drawn_without_a_word_on_the_terminal(
    text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    attribution = made(
        f"{text} yes", [(0, len(text)), (len(text), len(text) + 4)], [[1.0, 0.0]], model=text[:80]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = pixels(picture(attribution))
    assert capfd.readouterr() == ("", "")
    # Nothing runs over the right edge.
    assert (image[:, -20:] == 255).all()


def test_a_long_prompt_gives_a_picture_of_sensible_size() -> None:
    text = "\n".join(["word"] * 5000) + " yes"
    spans = [(5 * i, 5 * i + 4) for i in range(5000)] + [(len(text) - 4, len(text))]
    assert (
        pixels(picture(made(text, spans, [[float(i % 400 == 0) for i in range(5000)] + [0.0]]))).shape[0]
        < 20_000
    )
