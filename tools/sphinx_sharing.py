"""What search engines and other sites show of a page: title, description, card; and the sitemap.

A page's front matter gives its ``description``, and ``searched`` where its heading is no title to
search for; a lesson's follow from the catalogue. Addresses of pages are given where the site's own
is known (``html_baseurl``).
"""

import html
from pathlib import Path
from xml.sax.saxutils import escape

from docutils import nodes
from sphinx.util import logging

import cards
from lessons_lib import catalogue, files

CARDS = "_static/cards"
_log = logging.getLogger(__name__)


def told(page: str, title: str, metadata: dict) -> tuple[str, str]:
    """Return the title and the description with which a page wants to be found."""
    name = f"{page.rpartition('/')[2]}.ipynb"
    if name not in catalogue.QUESTIONS:
        return metadata.get("searched", title), metadata.get("description", "")
    number, searched = int(name[:2]), catalogue.SEARCHED[name]
    if page.startswith("notebooks/solutions/"):
        return f"Solutions to lesson {number}: {searched}", f"{searched}: the exercises, solved."
    says = f"{searched}. {catalogue.QUESTIONS[name]} In a notebook that you run."
    return f"{searched} (lesson {number})", says


def _add_tags(app, page: str, template: str, context: dict, document: nodes.document) -> None:
    """Put title, description and card into the page's head."""
    if document is None:  # search, index: made by Sphinx, and nobody's aim
        return
    plain = html.unescape(nodes.Text(context["title"]).astext())
    title, says = told(page, plain, app.env.metadata[page])
    context["title"] = html.escape(title)
    base = app.config.html_baseurl
    address = f"{base}{app.builder.get_target_uri(page)}" if base else ""
    tags = {
        ("name", "description"): says,
        ("property", "og:title"): title,
        ("property", "og:description"): says,
        ("property", "og:site_name"): app.config.project,
        ("property", "og:type"): "article" if page.startswith("notebooks/") else "website",
        ("name", "twitter:card"): "summary_large_image" if address else "summary",
    }
    if address:
        picture = f"{base}{CARDS}/{page.replace('/', '-')}.png"
        tags[("property", "og:url")] = address
        tags[("property", "og:image")] = picture
        tags[("property", "og:image:alt")] = f"{title}. {says}"
        app.env.shared_pages[page] = (title, says, address)
    context["metatags"] += "".join(
        f'\n<meta {kind}="{name}" content="{html.escape(content)}" />'
        for (kind, name), content in tags.items()
        if content
    )


def _begin(app) -> None:
    app.env.shared_pages = {}


def _finish(app, exception: Exception | None) -> None:
    """Write the cards and the sitemap of the pages that have an address."""
    if exception or app.builder.name != "html":
        return
    if not app.config.html_baseurl:
        _log.info("no sitemap and no cards: the site's address is not known (LESSONS_SITE)")
        return
    folder, shared = Path(app.outdir), app.env.shared_pages
    for page, (title, says, _) in sorted(shared.items()):
        place = folder / CARDS / f"{page.replace('/', '-')}.png"
        once = says.removeprefix(f"{title.partition(' (lesson ')[0]}. ")  # the title says it
        files.write_atomic(place, cards.card(title, once, app.config.project))
    places = "\n".join(f"<url><loc>{escape(url)}</loc></url>" for _, _, url in shared.values())
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="{schema}">\n{places}\n</urlset>\n'
    )
    files.write_atomic(folder / "sitemap.xml", text)


def setup(app) -> dict:
    app.connect("builder-inited", _begin)
    app.connect("html-page-context", _add_tags)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
