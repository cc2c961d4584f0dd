"""Draw curves as SVG: for a page, where text keeps its size at every width, or as a file.

In a page, the drawing has no `viewBox`, which would shrink the text on a phone: text stands at
percentages of the width, and only the curves are stretched. Colours are CSS classes, so that a
page in the dark needs no other drawing. `templates/charts.css` has the styles.
"""

import html
from collections.abc import Iterator

import numpy as np

from charlm.pages.charts import Chart, Series
from charlm.pages.scales import Scale, Values, decimate

NUM_COLOURS = 8
_COLUMNS = 500
"""Number of columns of pixels that are told apart."""
_UNITS = 2000, 1000
"""Width and height of the curves' own coordinates."""
_NAME_HEIGHT, _NAME_GAP, _LETTER = 0.09, 12, 7.5
"""Height of the name of a level, as a fraction; gap between two names and width of a letter."""
_WIDTH, _HEIGHT = 760, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 62, 40, 48
_COLOURS = (
    ("#0b5cad", "#7ab8ff"), ("#a84300", "#ffa657"), ("#1a7f37", "#56d364"), ("#8250df", "#d2a8ff"),
    ("#bf3989", "#ff9bce"), ("#1b7c83", "#5bd1d7"), ("#7d6608", "#e3c94c"), ("#57606a", "#c0c8d0"),
)  # fmt: skip
_FONT = "font: 13px system-ui, sans-serif"


def figure(chart: Chart) -> str:
    """Return a chart and its legend as HTML."""
    curves = [(f"c{_number(one)} {one.style}", one.name) for one, _, _ in chart.shown]
    marks = [(mark.symbol, mark.name.partition(":")[0]) for mark in chart.marks]
    swatch = '<svg class="swatch" aria-hidden="true"><path class="{}" d="M2 6H22"/></svg>'
    legend = [f"<li>{swatch.format(kind)} <bdi>{_text(name)}</bdi></li>" for kind, name in curves]
    legend += [f"<li>{_text(symbol)} {_text(name)}</li>" for symbol, name in dict(marks).items()]
    items = f'<ul class="legend">{"".join(legend)}</ul>' if len(legend) > 1 else ""
    return f"<figure><figcaption>{_text(chart.title)}{items}</figcaption>{drawing(chart)}</figure>"


def drawing(chart: Chart) -> str:
    """Return a chart as SVG for a page."""
    return _element(chart, 'class="chart"', "".join(_parts(chart, *_UNITS)))


def image_file(chart: Chart) -> str:
    """Return a chart as an SVG file, with its styles and a legend."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    light, dark = (
        "".join(f".c{n} {{ stroke: {pair[which]} }}" for n, pair in enumerate(_COLOURS, 1))
        for which in (0, 1)
    )
    style = f"""
text {{ {_FONT}; fill: #1b1f23 }} .end {{ text-anchor: end }} .middle {{ text-anchor: middle }}
path {{ fill: none; stroke-width: 2; stroke-linejoin: round }}
.faint {{ stroke-width: 1; opacity: 0.6 }}
.points {{ stroke-width: 6; stroke-linecap: round }} .grid {{ stroke: #d0d7de }}
.level, .mark {{ stroke: #57606a; stroke-dasharray: 5 4; stroke-width: 1.5 }}
.name {{ paint-order: stroke; stroke: #ffffff; stroke-width: 4px }} {light}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6e8ea }} .name {{ stroke: #14171a }} .grid {{ stroke: #3b434b }}
.level, .mark {{ stroke: #a2abb5 }}
{dark} }}"""
    inner = (
        f'<svg x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}" overflow="visible">'
        f"{''.join(_parts(chart, width, height))}</svg>"
    )
    rows = [
        f'<path class="c{_number(one)} {one.style}" d="M{_LEFT + 8} {_HEIGHT + 18 * row}h22"/>'
        f'<text x="{_LEFT + 38}" y="{_HEIGHT + 18 * row + 4}">{_text(one.name)}</text>'
        for row, (one, _, _) in enumerate(chart.shown)
    ]
    height = _HEIGHT + 18 * len(rows)
    size = (
        f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}"'
    )
    return _element(chart, size, f"<style>{style}</style>{inner}{''.join(rows)}") + "\n"


def _element(chart: Chart, attributes: str, content: str) -> str:
    name = chart.name
    return (
        f'<svg {attributes} role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{_text(chart.title)}</title>'
        f'<desc id="{name}-text">{_text(chart.description)}</desc>{content}</svg>'
    )


def _parts(chart: Chart, width: int, height: int) -> Iterator[str]:
    """Yield the parts of a chart; the curves have coordinates of this size."""
    x_scale, y_scale = chart.x_scale, chart.y_scale
    for tick in y_scale.ticks:
        place = _down(y_scale, tick)
        yield f'<line class="grid" x2="100%" y1="{place}" y2="{place}"/>'
        yield f'<text class="end" x="-8" y="{place}" dy="4">{y_scale.label(tick)}</text>'
        if chart.right is not None:
            yield f'<text x="100%" y="{place}" dx="8" dy="4">{chart.right(tick)}</text>'
    for number, tick in enumerate(x_scale.ticks):
        kind = "middle odd" if number % 2 else "middle"
        place = _across(x_scale, tick)
        yield f'<line class="grid" x1="{place}" x2="{place}" y1="100%" y2="100%"/>'
        yield f'<text class="{kind}" x="{place}" y="100%" dy="18">{x_scale.label(tick)}</text>'
    yield f'<text class="middle" x="50%" y="100%" dy="38">{_text(chart.x_label)}</text>'
    yield f'<text x="-54" y="-14">{_text(chart.y_label)}</text>'
    if chart.right_label:
        yield f'<text class="end" x="100%" dx="54" y="-14">{_text(chart.right_label)}</text>'
    yield from _level_lines(chart)
    for mark in chart.marks:
        if not (x_scale.low <= mark.x <= x_scale.high):
            continue
        place = _across(x_scale, mark.x)
        yield (
            f'<g><title>{_text(mark.name)}</title><line class="mark" x1="{place}" x2="{place}" '
            f'y2="100%"/><text class="middle" x="{place}" dy="-3">{_text(mark.symbol)}</text></g>'
        )
    yield (
        f'<svg class="curves" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'width="100%" height="100%" overflow="visible">'
    )
    for series, x, y in chart.shown:
        path = _path(series, x_scale.fractions(x), y_scale.fractions(y), width, height)
        kind = f"c{_number(series)} {'points' if len(x) == 1 else series.style}"
        yield f'<path class="{kind}" vector-effect="non-scaling-stroke" d="{path}"/>'
    yield "</svg>"
    yield from _level_names(chart)  # over the curves, which would strike them through


def _level_lines(chart: Chart) -> Iterator[str]:
    for level in chart.levels:
        place = _down(chart.y_scale, level.y)
        yield f'<line class="level" x2="100%" y1="{place}" y2="{place}"/>'


def _level_names(chart: Chart) -> Iterator[str]:
    """Yield the names of the levels; one moves to the left until it covers no other."""
    placed: list[tuple[float, float, float]] = []
    for level in sorted(chart.levels, key=lambda level: level.y):
        height = float(chart.y_scale.fractions(np.array([level.y]))[0])
        width, right = _LETTER * len(level.name), 4.0
        for other, start, end in sorted(placed, key=lambda one: one[1]):
            if abs(height - other) < _NAME_HEIGHT and right < end and start < right + width:
                right = end
        placed.append((height, right, right + width + _NAME_GAP))
        yield (
            f'<text class="end name" x="100%" y="{_percent(1 - height)}" dx="{-right:g}" dy="-5">'
            f"{_text(level.name)}</text>"
        )


def _path(series: Series, x: Values, y: Values, width: int, height: int) -> str:
    kept = decimate(x, y, _COLUMNS)
    digits = 0 if width == _UNITS[0] else 1
    across = np.round(x[kept] * width, digits).tolist()
    down = np.round((1 - y[kept]) * height, digits).tolist()
    if series.style == "points" or len(kept) == 1:
        return "".join(f"M{a:g} {b:g}h0" for a, b in zip(across, down, strict=True))
    return "M" + " ".join(f"{a:g} {b:g}" for a, b in zip(across, down, strict=True))


def _number(series: Series) -> int:
    return series.colour % NUM_COLOURS + 1


def _across(scale: Scale, value: float) -> str:
    return _percent(scale.fractions(np.array([value]))[0])


def _down(scale: Scale, value: float) -> str:
    return _percent(1 - scale.fractions(np.array([value]))[0])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}%".replace(".00%", "%")


def _text(text: str) -> str:
    """Return a name as text of XML, which holds no control characters and no lone surrogates."""
    shown = (one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return html.escape("".join(shown))
