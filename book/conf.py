"""Sphinx's settings for the course's site; ``make book`` stages the pages and calls it."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))  # of the site: its extension, texts and links

import repository_links  # noqa: E402
import site_texts  # noqa: E402

project = "Quantization lessons"
author = "the authors of the quantization lessons"
copyright = "the authors; text and figures CC BY 4.0, code MIT, digits (MNIST) CC BY-SA 3.0"
language = "en"

extensions = ["myst_nb", "sphinx_copybutton", "sphinx_ext", "sphinx_folds"]
extensions += ["sphinx_sharing"]
exclude_patterns = [".doctrees"]
templates_path = [str(HERE / "_templates")]
html_static_path = [str(HERE / "_static")]
html_css_files = ["course.css"]

# The notebooks' stored outputs are shown: `make refresh` made them, and nbval tests them.
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_merge_streams = True
# Tagged hide-input are only the first cells of notebooks: tests/hygiene.py.
nb_code_prompt_show = "Imports and set-up"
myst_enable_extensions = ["dollarmath", "substitution", "deflist", "attrs_block", "colon_fence"]
myst_heading_anchors = 3
myst_substitutions = site_texts.substitutions()
suppress_warnings = ["mystnb.unknown_mime_type"]

# From the site itself, and only on pages with formulas.
mathjax_path = "mathjax/tex-svg.js"
mathjax_options = {"loading_method": "defer"}
myst_update_mathjax = False

html_theme = "sphinx_book_theme"
html_title = project
html_baseurl = repository_links.site()  # for search engines; "" where it is not known
html_short_title = "Quantization"
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_sourcelink_suffix = ""
html_copy_source = True  # the download button hands out the notebook itself
html_last_updated_fmt = None
html_show_sphinx = False
html_permalinks_icon = "#"
pygments_style = "a11y-high-contrast-light"

html_theme_options = {
    "navbar_persistent": [],
    "show_navbar_depth": 1,
    "max_navbar_depth": 1,
    "show_toc_level": 1,
    "home_page_in_toc": True,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    # Links to Colab and Binder need an address; without one there are none.
    **repository_links.links(),
}
