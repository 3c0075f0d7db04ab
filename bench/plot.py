"""The results as one SVG: saturation as bars with their spread, and p99 at each fixed rate."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from statistics import median
from typing import Any

from bench.field import LABELS
from bench.report import values

WIDTH, LABEL, RIGHT, ROW = 920, 350, 90, 24
COLOURS = {"bare": "#8a8f98", "ours": "#1f6feb", "textbook": "#d9822b", "djstripe": "#2f855a", "webhook": "#8b5cf6"}
STYLE = "font-family:system-ui,sans-serif;font-size:13px"


def svg(raw: Mapping[str, Any]) -> str:
    """Draw what was measured."""
    parts: list[str] = []
    y = 10
    for section, title in (
        ("closed", "Callbacks a second, connections kept"),
        ("fresh", "Callbacks a second, a new connection each"),
    ):
        if section in raw:
            y = _bars(parts, y, title, raw[section])
    for milliseconds, measured in raw.get("slow", {}).items():
        y = _bars(parts, y, f"Callbacks a second, each fsync {milliseconds} ms slower", measured)
    for rate, measured in raw.get("fixed", {}).items():
        y = _dots(parts, y, f"p50 and p99 in ms at {rate} callbacks a second", measured)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" style="{STYLE}">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _colour(name: str) -> str:
    return next(colour for start, colour in COLOURS.items() if name.startswith(start))


def _bars(parts: list[str], y: int, title: str, measured: Mapping[str, Sequence[Mapping[str, float]]]) -> int:
    parts.append(_text(10, y + 18, title, 'font-weight="600"'))
    y += 28
    most = max(max(values(rounds, "rate")) for rounds in measured.values())
    for name, rounds in measured.items():
        rates, mid = values(rounds, "rate"), y + ROW / 2
        low, middle, high = ((WIDTH - LABEL - RIGHT) * rate / most for rate in (min(rates), median(rates), max(rates)))
        parts += [
            _text(LABEL - 8, mid + 4, LABELS[name], 'text-anchor="end"'),
            f'<rect x="{LABEL}" y="{y + 4}" width="{middle:.1f}" height="{ROW - 8}" fill="{_colour(name)}"/>',
            f'<path d="M{LABEL + low:.1f} {mid}h{high - low:.1f}" stroke="#111"/>',
            f'<path d="M{LABEL + low:.1f} {mid - 4}v8M{LABEL + high:.1f} {mid - 4}v8" stroke="#111"/>',
            _text(LABEL + high + 6, mid + 4, f"{median(rates):,.0f}"),
        ]
        y += ROW
    return y + 14


def _dots(parts: list[str], y: int, title: str, measured: Mapping[str, Sequence[Mapping[str, float]]]) -> int:
    """Draw what was measured as dots over a logarithmic scale from 0.1 ms to 10 s."""
    parts.append(_text(10, y + 18, title, 'font-weight="600"'))
    y += 28

    def at(milliseconds: float) -> float:
        return LABEL + (WIDTH - LABEL - RIGHT) * (log10(min(max(milliseconds, 0.1), 10_000)) + 1) / 5

    for name, rounds in measured.items():
        middle, p99 = (median(values(rounds, figure)) for figure in ("p50", "p99"))
        mid, colour = y + ROW / 2, _colour(name)
        parts.append(_text(LABEL - 8, mid + 4, LABELS[name], 'text-anchor="end"'))
        parts.append(f'<path d="M{at(middle):.1f} {mid}H{at(p99):.1f}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<circle cx="{at(middle):.1f}" cy="{mid}" r="4" fill="#fff" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{at(p99):.1f}" cy="{mid}" r="5" fill="{colour}"/>')
        parts.append(_text(at(p99) + 10, mid + 4, f"{middle:.1f} / {p99:.1f}"))
        y += ROW
    more = 'text-anchor="middle" fill="#555"'
    parts += [_text(at(scale), y + 14, f"{scale:g}", more) for scale in (0.1, 1, 10, 100, 1000, 10_000)]
    return y + 30
