"""The run viewer: what a page, a widget and a static picture draw, and what they may ask.

    feed = RunFeed(home, "train/3")            # in a person's process, or in a server
    feed.request("snapshot", {})               # plain data, JSON as it stands
    feed.request("patch", {"cursor": cursor})  # what changed since

`run_view.js` (an ES module without dependencies) and `run_view.css` draw it: `mount(element,
source, options)`, where `source.request(kind, payload)` reaches `RunFeed.request`. Nothing
in here knows Jupyter, HTTP or a terminal; nothing in here opens a pickle.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from mlflowkit.view.feed import RunFeed

__all__ = ["CSS", "MODULE", "RunFeed", "module_text", "style_text"]

#: The module, and its style sheet.
MODULE: Final = Path(__file__).with_name("run_view.js")
CSS: Final = Path(__file__).with_name("run_view.css")
#: Comments, and white space that only people read. The module has no text of several lines,
#: and none with a space beside a bracket or an operator: a test compares what it says.
_FOR_PEOPLE: Final = (
    (re.compile(r"/\*\*.*?\*/ ?", re.DOTALL), ""),
    (re.compile(r"^[ \t]*(//[^\n]*)?", re.MULTILINE), ""),
    (re.compile(r"\n{2,}"), "\n"),
    (re.compile(r"(?<=[{}(\[,;])\n|\n(?=[})\].?:&|])"), ""),
    (re.compile(r"(?<=[{\[(=!<>&|]) | (?=[}\])=!<>&|])"), ""),
)


@lru_cache(maxsize=1)
def module_text() -> str:
    """The module as it is sent to a page: the same statements, without what is for people."""
    text = MODULE.read_text(encoding="utf-8")
    for what, instead in _FOR_PEOPLE:
        text = what.sub(instead, text)
    return text


@lru_cache(maxsize=1)
def style_text() -> str:
    """The style sheet."""
    return CSS.read_text(encoding="utf-8")
