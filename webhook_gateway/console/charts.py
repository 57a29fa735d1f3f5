"""The overview's chart: SVG made here, coloured by our own stylesheet. A table beside it says the same in text."""

import sys
from collections.abc import Sequence
from xml.etree import ElementTree

import pygal
from markupsafe import Markup

from shared.lifecycle import UNFINISHED, Status
from shared.overview import Hour

# It adds a finder of its own plug-ins, of a kind that Python 3.12 asks no more and that others stumble over.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

ENDED = tuple(status.value for status in Status if status not in UNFINISHED and status is not Status.NEEDS_REVIEW)
_SVG = "http://www.w3.org/2000/svg"
_NOT_DRAWN = {"defs", "title"}
"""The library's own style and script: the console's policy lets none run, and a title that says nothing."""


def ended_in(hour: Hour) -> int:
    """Return how many came to an end in an hour, whichever."""
    return sum(hour.by_status.get(status, 0) for status in ENDED)


def throughput(hours: Sequence[Hour]) -> Markup:
    """Draw what was accepted, what ended and what needs a person, hour by hour."""
    chart = pygal.Bar(
        width=920, height=230, explicit_size=False, css=[], js=[], disable_xml_declaration=True, pretty_print=False,
        show_legend=False, margin=4, spacing=6, x_labels_major_every=3, show_minor_x_labels=False, order_min=0,
        show_y_guides=True, max_scale=5, min_scale=2, value_formatter=_whole,
    )  # fmt: skip
    chart.x_labels = [hour.begins.strftime("%H:00") for hour in hours]
    chart.add("accepted", [hour.accepted for hour in hours])
    chart.add("ended", [ended_in(hour) for hour in hours])
    chart.add("needs review", [hour.by_status.get(Status.NEEDS_REVIEW, 0) for hour in hours])
    root = chart.render_tree()
    for child in list(root):
        if not isinstance(child.tag, str) or child.tag.rpartition("}")[2] in _NOT_DRAWN:  # a comment's is no text
            root.remove(child)
    for element in root.iter():
        element.attrib.pop("style", None)
    root.set("role", "img")
    root.set(
        "aria-label",
        "Accepted, ended and needing review in each of the last 24 hours; the table below has the figures.",
    )
    root.attrib.pop("id", None)
    ElementTree.register_namespace("", _SVG)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - numbers and our own words alone


def _whole(value: float) -> str:
    return f"{value:,.0f}"
