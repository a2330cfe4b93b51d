"""Data Docs as a page for people: self-contained, silent, and for ever the same.

Great Expectations' pages fetch style sheets, scripts and a counting picture from the network. A family's report must
reach nobody, and must still open in ten years, so everything from outside is taken out and a plain style put in.
"""

import re
from pathlib import Path

STYLE = """<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:.6rem 0}td,th{border:1px solid #ddd;padding:.3rem .6rem;vertical-align:top}
img,svg,.fa,.ge-cta-footer,.cta-footer,#ge-cta-footer,.navbar,script{display:none}
a{color:#245}.card,.section{margin:1rem 0}h1,h2,h3,h4{font-weight:600}
</style>"""
# Whole elements that only bring something from outside, or make the page act.
_ELEMENTS = re.compile(r"<script\b.*?</script\s*>|<link\b[^>]*>|<img\b[^>]*>|<iframe\b.*?</iframe\s*>", re.S | re.I)
_STYLES = re.compile(r"<style\b.*?</style\s*>", re.S | re.I)
_LINKS = re.compile(r"""\s(?:href|src|action|on\w+)\s*=\s*("[^"]*"|'[^']*')""", re.I)
_HEAD = re.compile(r"<head\b[^>]*>", re.I)


def silent(page: str) -> str:
    """The page without anything that would be fetched or run; links between the pages of the report stay."""

    def keep(match: re.Match[str]) -> str:
        name, value = match.group(0).split("=", 1)
        inside = value.strip().strip("\"'")
        local = name.strip().lower() == "href" and not re.match(r"[a-z][a-z0-9+.-]*:|//", inside, re.I)
        return match.group(0) if local else ""

    page = _STYLES.sub("", _ELEMENTS.sub("", page))
    page = _LINKS.sub(keep, page)
    return _HEAD.sub(lambda head: f'{head.group(0)}<meta charset="utf-8">{STYLE}', page, count=1)


def silence_site(folder: Path) -> None:
    """Rewrite every page below `folder` and remove what only decorated them."""
    for path in sorted(folder.rglob("*.html")):
        path.write_text(silent(path.read_text(encoding="utf-8")), encoding="utf-8")
