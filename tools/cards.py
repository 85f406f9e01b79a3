"""The pictures that a link to a page of the site is shown with elsewhere: 1200 x 630, few bytes."""

import io
import textwrap
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

SIZE = (1200, 630)
_PAPER, _INK, _MUTED, _BLUE = "#ffffff", "#1a1a1a", "#55606b", "#0072b2"
_LEFT = 90
_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # they come with matplotlib


def card(title: str, says: str, below: str) -> bytes:
    """Return a PNG with a page's title, a sentence below it, and where it belongs."""
    picture = Image.new("RGB", SIZE, _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 28, SIZE[1]), fill=_BLUE)
    bottom = _write(draw, 80, title, _font("DejaVuSans-Bold", 64), 26, _INK, lines=3)
    _write(draw, bottom + 30, says, _font("DejaVuSans", 36), 48, _MUTED, lines=4)
    draw.text((_LEFT, SIZE[1] - 90), below, font=_font("DejaVuSans-Bold", 32), fill=_BLUE)
    content = io.BytesIO()
    picture.quantize(16).save(content, "PNG", optimize=True)
    return content.getvalue()


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FONTS / f"{name}.ttf", size)


def _write(draw, top: int, text: str, font, width: int, colour: str, lines: int) -> int:
    """Write a text in lines of ``width`` letters at most; return where the last one ends."""
    wrapped = textwrap.wrap(text, width, max_lines=lines, placeholder=" …")
    draw.multiline_text((_LEFT, top), "\n".join(wrapped), font=font, fill=colour, spacing=12)
    return top + len(wrapped) * (font.size + 12)
