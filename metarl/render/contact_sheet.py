"""Panels of pictures under a heading, and the text in them."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

BACKGROUND, TEXT, MUTED = (19, 22, 28), (238, 240, 244), (156, 165, 178)
GAP = 6
"""Between panels, in pixels."""


def sheet(heading: str, panels: Sequence[Image.Image], columns: int) -> Image.Image:
    """Panels in rows under a wrapped heading; even sides, as video encoders ask."""
    width, height = panels[0].size
    rows = math.ceil(len(panels) / columns)
    total = columns * width + (columns + 1) * GAP
    # The heading stays readable on a narrow sheet and modest on a wide one.
    letters = font(min(18, max(10, total // 34)))
    lines = wrapped(heading, letters, total - 4 * GAP)
    line = round(1.4 * letters.size)
    top = len(lines) * line + (2 * GAP if lines else GAP)
    bottom = top + rows * (height + GAP)
    whole = Image.new("RGB", (total + total % 2, bottom + bottom % 2), BACKGROUND)
    draw = ImageDraw.Draw(whole)
    for index, text in enumerate(lines):
        draw.text((2 * GAP, GAP + (index + 0.5) * line), text, TEXT, letters, "lm")
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        place = GAP + column * (width + GAP), top + row * (height + GAP)
        whole.paste(panel, place)
    return whole


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of Matplotlib, which every machine has."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / name), size)


def wrapped(text: str, letters: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """The text in lines of at most ``width`` pixels."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and letters.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        if line:
            lines.append(_shortened(line, letters, width))
    return lines


def _shortened(text: str, letters: ImageFont.FreeTypeFont, width: float) -> str:
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def number(value: float) -> str:
    """A number for a label whose width hardly changes from frame to frame."""
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
