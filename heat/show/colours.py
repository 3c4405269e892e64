"""The colours of scores: orange speaks for the target, blue against it; readable by the colour-blind."""

RGB = tuple[float, float, float]

FOR: RGB = (235, 110, 20)
AGAINST: RGB = (80, 120, 220)
INK: RGB = (28, 30, 33)
PAPER: RGB = (255, 255, 255)
DARK_INK: RGB = (230, 230, 227)
DARK_PAPER: RGB = (22, 24, 27)

# How much of the colour the largest number gets, chosen so that the words stay readable on it.
STRENGTH = 0.75
DARK_STRENGTH = 0.6


def background(share: float, paper: RGB = PAPER, strength: float = STRENGTH) -> RGB:
    """Colour behind a word.

    Args:
        share: Its number by the largest, in [-1, 1].
        paper: What lies below.
        strength: How much of the colour the largest gets.

    Returns:
        Red, green and blue, each in [0, 255].
    """
    weight = strength * min(1.0, abs(share))
    red, green, blue = (
        weight * ink + (1 - weight) * below
        for ink, below in zip(FOR if share >= 0 else AGAINST, paper, strict=True)
    )
    return red, green, blue


def as_hex(colour: RGB) -> str:
    """A colour as #rrggbb."""
    return "#" + "".join(f"{round(part):02x}" for part in colour)
