"""Saved notebooks as pages: what nbconvert makes of them, and what a strict host leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

#: What a host that cleans notebooks lets through: no styles, no SVG, no scripts.
_TAGS: Final = frozenset(
    {"a", "b", "br", "code", "div", "em", "h1", "h2", "h3", "i", "img", "li", "ol", "p"}
    | {"pre", "span", "strong", "sub", "table", "tbody", "td", "th", "thead", "tr", "ul"}
)
_ATTRIBUTES: Final = {"*": ["align", "alt", "height", "src", "title", "width"]}


def as_html(path: Path) -> str:
    """What `jupyter nbconvert --to html` writes."""
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter().from_filename(str(path))
    return str(body)


def cleaned(html: str) -> str:
    """HTML as a strict host shows it: styles and scripts go with all that is in them."""
    import bleach

    bare = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.S | re.I)
    protocols = {"http", "https", "data"}
    return str(
        bleach.clean(
            bare, tags=_TAGS, attributes=_ATTRIBUTES, protocols=protocols, strip=True
        )
    )


@contextmanager
def without_scripts(browser: Any, path: Path) -> Iterator[Any]:
    """The notebook as HTML, in a page that runs no scripts and reaches no network."""
    context = browser.new_context(
        java_script_enabled=False, offline=True, viewport={"width": 1000, "height": 800}
    )
    page = context.new_page()
    file = path.with_suffix(".html")
    file.write_text(as_html(path), encoding="utf-8")
    page.goto(file.as_uri(), wait_until="domcontentloaded")
    yield page
    context.close()
