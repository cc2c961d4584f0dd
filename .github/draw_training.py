"""Draw the losses of a run as an SVG: `python .github/draw_training.py RUN > training.svg`."""

import json
import math
import sys
from pathlib import Path

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 20, 46
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.axis { stroke: #8c959f; stroke-width: 1 }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.training { stroke: #9a6700; fill: none; stroke-width: 1.5; opacity: 0.75 }
.validation { stroke: #0969da; fill: none; stroke-width: 2.5 }
.of-training { fill: #9a6700 }
.of-validation { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .axis { stroke: #7d8590 }
  .grid { stroke: #30363d }
  .training { stroke: #d29922 }
  .validation { stroke: #58a6ff }
  .of-training { fill: #d29922 }
  .of-validation { fill: #58a6ff }
}
"""

Point = tuple[float, float]


def read_losses(metrics: Path) -> tuple[list[Point], list[Point]]:
    """Return (seconds, nats per character) of all training and all validation lines."""
    lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    training = [(line["seconds"], line["loss"]) for line in lines if "loss" in line]
    validation = [
        (line["seconds"], line["validation_loss"]) for line in lines if "validation_loss" in line
    ]
    return training, validation


def draw(training: list[Point], validation: list[Point]) -> str:
    """Return an SVG with both curves over the training time."""
    last = math.ceil(max(seconds for seconds, _ in training) / 10) * 10
    highest = max(loss for _, loss in training)
    lowest = math.floor(min(loss for _, loss in training + validation) * 2) / 2

    def place(point: Point) -> Point:
        x = LEFT + point[0] / last * (WIDTH - LEFT - RIGHT)
        y = TOP + (highest - point[1]) / (highest - lowest) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    def curve(points: list[Point], name: str, label: str) -> str:
        path = " ".join(f"{x},{y}" for x, y in map(place, points))
        x, y = place(points[-1])
        text = (
            f'<text x="{x + 10}" y="{y + 4}" class="of-{name}">{label} {points[-1][1]:.2f}</text>'
        )
        return f'<polyline class="{name}" points="{path}"/>{text}'

    (left, bottom), (right, _) = place((0, lowest)), place((last, lowest))
    parts = []
    for half in range(math.ceil(lowest * 2), math.floor(highest * 2) + 1):
        _, y = place((0, half / 2))
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{half / 2}</text>')
    for seconds in range(0, last + 1, 10):
        x, _ = place((seconds, lowest))
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{seconds}</text>')
    middle = (left + right) / 2
    parts += [
        f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>',
        f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">seconds of training</text>',
        f'<text transform="translate(14 {TOP + 210}) rotate(-90)">loss, nats per character</text>',
        curve(training, "training", "training"),
        curve(validation, "validation", "validation"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>Loss of a training</title><style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>"
    )


if __name__ == "__main__":
    print(draw(*read_losses(Path(sys.argv[1]) / "metrics.jsonl")))
