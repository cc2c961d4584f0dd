"""Draw a chart as PNG with matplotlib, an extra that no page needs."""

import io

import numpy as np

from charlm.errors import CharlmError
from charlm.pages.charts import Chart

_INCHES = 7, 3.5
_DOTS_PER_INCH = 200


def png_image(chart: Chart) -> bytes:
    """Return a chart as a PNG file; raises `CharlmError` without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise CharlmError(
            "--png needs matplotlib: pip install 'charlm-rnn[plots]'; or use --svg, which does not"
        ) from None
    figure = Figure(_INCHES, layout="constrained")
    axes = figure.add_subplot()
    for series, x, y in chart.shown:
        is_faint, is_points = series.style == "faint", series.style == "points"
        axes.plot(
            x,
            y,
            "." if is_points else "-",
            color=f"C{series.colour}",
            alpha=0.5 if is_faint else 1.0,
            linewidth=0.8 if is_faint else 1.5,
            label=_plain(series.name),
        )
    for level in chart.levels:
        axes.axhline(level.y, color="gray", linestyle="--", linewidth=1, label=_plain(level.name))
    for mark in chart.marks:
        axes.axvline(mark.x, color="gray", linestyle=":", linewidth=1)
    axes.set(
        xlabel=_plain(chart.x_label),
        ylabel=_plain(chart.y_label),
        xscale="log" if chart.log_x else "linear",
        yscale="log" if chart.log_y else "linear",
    )
    ticks = np.array(chart.x_scale.ticks)
    axes.set_xticks(ticks, [chart.x_scale.label(tick) for tick in ticks])
    axes.grid(axis="y", alpha=0.4)
    axes.legend(frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DOTS_PER_INCH)
    return file.getvalue()


def _plain(text: str) -> str:
    """Return a name that matplotlib neither reads as a formula nor leaves out."""
    shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return shown.replace("$", r"\$").lstrip("_") or "?"
