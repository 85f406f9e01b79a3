"""Make the site light: of the theme's 2,000 icons, serve those that its pages show.

The theme (pydata-sphinx-theme) brings Font Awesome whole: a font, a style rule for each icon, and
a script that does the same again, which ``book/_templates`` leaves out. Together they would be
nine tenths of the landing page.
"""

import logging
import re
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

STYLE = "_static/styles/pydata-sphinx-theme.css"
FONTS = "_static/vendor/fontawesome/webfonts"
UNUSED = ("_static/scripts/fontawesome.js*", "_static/**/*.map")
logging.getLogger("fontTools").setLevel(logging.WARNING)  # Sphinx would print each step

# .fa-bars,.fa-navicon{--fa:"\f0c9"}
_RULE = re.compile(r'((?:\.fa-[\w-]+,?)+)\{--fa:"\\?([^"]+?) ?"\}')


def keep_used(site: Path) -> None:
    """Drop from the built ``site`` the icons that no page and no script of it names."""
    for path in (path for pattern in UNUSED for path in site.glob(pattern)):
        path.unlink()
    names = used(site)
    style = site / STYLE
    text = style.read_text("utf-8")
    kept = {
        code for classes, code in _RULE.findall(text) if names & set(classes.strip(".").split(",."))
    }
    style.write_text(_RULE.sub(lambda rule: rule[0] if rule[2] in kept else "", text), "utf-8")
    for font in (site / FONTS).glob("*.woff2"):
        shrink(font, {character(code) for code in kept})


def used(site: Path) -> set[str]:
    """Return the names of icons in the site's pages and scripts, such as ``fa-bars``."""
    sources = [*site.rglob("*.html"), *site.glob("_static/**/*.js")]
    texts = (path.read_text("utf-8") for path in sources)
    return {name for text in texts for name in re.findall(r"\bfa-[a-z0-9-]+", text)}


def character(code: str) -> int:
    """Return the code point that a style rule means: ``f0c9`` is hexadecimal, ``+`` is itself."""
    return ord(code) if len(code) == 1 else int(code, 16)


def shrink(font: Path, characters: set[int]) -> None:
    """Keep of a WOFF2 font the glyphs of these code points."""
    with TTFont(font) as whole:
        subsetter = subset.Subsetter(subset.Options(name_IDs=["*"]))  # its licence and origin
        subsetter.populate(unicodes=characters)
        subsetter.subset(whole)
        whole.save(font)
