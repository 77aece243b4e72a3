"""One HTML file from the template, the assets and the content.

Nothing is loaded and nothing can be: the Content-Security-Policy allows the scripts and the style
of this page by their hashes, data: images, and no connection, frame or form. Texts of the result
files (ids, options, log) are data in a JSON block, in which < and > are escaped; the scripts show
them with textContent alone.

Plots are Chart.js 4.4.0 (MIT), as django-unfold 0.91.0 redistributes it. Looked at for this page:
Chart.js has 0.2 MB, draws on canvas, evaluates no strings and adds no style elements. bokeh (1.3
MB, BSD) styles its elements in ways that such a policy refuses, plotly.js (4.7 MB, MIT) is larger
than the whole page may be, ECharts (1 MB, Apache) puts inline styles into its tooltips (its issues
19570 and 19938), and with uPlot (0.05 MB, MIT) scatter plots are drawn by one's own code.
"""

import base64
import hashlib
import html
import json
from importlib.resources import files
from string import Template

#: In this order: later ones use earlier ones.
_SCRIPTS = (
    "common.js",
    "charts.js",
    "card.js",
    "locus.js",
    "manhattan.js",
    "path.js",
    "stability.js",
    "prediction.js",
    "table.js",
    "main.js",
)


def page(content: dict) -> str:
    """Return the HTML of what `content.report_content` gives."""
    script = '"use strict";\n(function () {\n' + "".join(map(_asset, _SCRIPTS)) + "})();\n"
    library = _asset("chart.min.js")
    style = _asset("report.css")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(library)} {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return Template(_asset("page.html")).substitute(
        title=html.escape(content["title"]),
        policy=html.escape(policy, quote=True).replace("&#x27;", "'"),
        licence=html.escape(_asset("chart.LICENSE.txt")),
        style=style,
        library=library,
        script=script,
        data=as_json(content),
    )


def as_json(content: dict) -> str:
    """Return JSON that cannot end, or begin anything in, the script element that holds it.

    Raises OverflowError for infinite numbers: sums of what a file has, whose numbers are finite.
    """
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise OverflowError(str(error)) from error
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # a lone surrogate, of a file name that is no UTF-8, cannot be written
    return text.encode("utf-8", "replace").decode("utf-8")


def _asset(name: str) -> str:
    return files("lmmlasso_fast.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
