"""What all widgets share: the page's colours, which keys stay inside, and text with code in it."""

import html
import re

# JupyterLab's colours, else the site's, else the browser's own.
_THEME = """
.WIDGET {
  background: var(--jp-layout-color1, var(--pst-color-background, Canvas));
  color: var(--jp-content-font-color1, var(--pst-color-text-base, CanvasText));
  --line: var(--jp-border-color0, var(--pst-color-border, GrayText));
  --focus: var(--jp-brand-color1, var(--pst-color-primary, #0072B2));
  font-size: 1rem; line-height: 1.5; padding: .75em 1em; max-width: 46em;
  border: 1px solid var(--line); border-radius: 6px;
}
.WIDGET [hidden] { display: none !important; }
.WIDGET button {
  font: inherit; color: inherit; background: transparent; cursor: pointer;
  border: 1px solid currentColor; border-radius: 4px; padding: .15em .9em;
}
.WIDGET input { accent-color: var(--focus); }
.WIDGET :focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
"""

# A key pressed in a widget must not change JupyterLab's cells, or turn a slide. Those that run a
# cell go on to JupyterLab: else a notebook would be stuck after a click in a widget.
KEYS = """
const keepKeys = (event) => {
  const { key, shiftKey, ctrlKey, altKey, metaKey } = event;
  if (key !== "Enter" || !(shiftKey || ctrlKey || altKey || metaKey)) event.stopPropagation();
};
"""


def theme(widget: str) -> str:
    """Return the CSS that all widgets share, for the class ``widget``."""
    return _THEME.replace("WIDGET", widget)


def markup(text: str) -> str:
    """Escape a text and set what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
