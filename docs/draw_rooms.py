"""Draw the rooms of the code and what they import of each other, as ``docs/rooms.svg``.

    python docs/draw_rooms.py [FILE.svg]

The floors, and the reading of imports, are those of ``tests/test_architecture.py``: what that test checks is what is
drawn. The picture is a function of the code alone.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from test_architecture import FLOORS, PACKAGES, imports, modules, room  # noqa: E402

__all__ = ["arrows", "draw", "lengths", "main"]

_STEP, _ROW, _BOX, _TOP, _LEFT = 50, 38, 172, 34, 235
_INK, _LINE, _UP = "#1f2933", "#9aa5b1", "#c81e1e"
_FONT = 'font-family="Helvetica, Arial, sans-serif"'
_LEGEND = (
    "Each box is a room: a package or module, with its number of lines.",
    "From a box go right to a circle, and from the circle down:",
    "the room on the left imports the room below it,",
    "in as many import statements as the circle says.",
    "Rooms stand on floors, the ground at the bottom.",
    "All arrows point down; one that points up would be red.",
)


def arrows(root: Path) -> Counter[tuple[str, str]]:
    """How many import statements of the first room name something in the second, for all pairs of rooms."""
    found: Counter[tuple[str, str]] = Counter()
    for one in imports(root):
        here, there = room(one.module), room(one.target)
        if there.split(".")[0] in PACKAGES and here != there:
            found[here, there] += 1
    return found


def lengths(root: Path) -> Counter[str]:
    """Lines of Python in each room."""
    found: Counter[str] = Counter()
    for name, path in modules(root):
        found[room(name)] += len(path.read_text(encoding="utf-8").splitlines())
    return found


def draw(
    floors: Sequence[Sequence[str]], counts: Mapping[tuple[str, str], int], lines: Mapping[str, int] | None = None
) -> str:
    """The picture as SVG text: rooms down the diagonal, the ground at the bottom, one circle for each arrow."""
    rooms = [name for names in reversed(floors) for name in reversed(names)]
    place = {name: number for number, name in enumerate(rooms)}
    width, height = _LEFT + _STEP * len(rooms) + 20, _TOP + _ROW * len(rooms) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'{_FONT} font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    row = 0
    for number, names in reversed(list(enumerate(floors))):
        shade = "#f5f7fa" if number % 2 else "#ffffff"
        y = _TOP + _ROW * row - _ROW // 2
        parts.append(f'<rect x="0" y="{y}" width="{width}" height="{_ROW * len(names)}" fill="{shade}"/>')
        middle = y + _ROW * len(names) // 2 + 4
        parts.append(f'<text x="10" y="{middle}" fill="#7b8794">floor {number}</text>')
        row += len(names)
    drawn = sorted((pair for pair in counts if set(pair) <= set(rooms)), key=lambda pair: (place[pair[0]], pair[1]))
    parts += [line for here in rooms for line in _lines(here, place, [pair for pair in drawn if here in pair])]
    parts += [_circle(pair, counts[pair], place) for pair in drawn]
    parts += [_box(name, place[name], (lines or {}).get(name)) for name in rooms]
    y = height - 36 - 19 * (len(_LEGEND) - 1)
    parts.append(
        f'<rect x="78" y="{y - 26}" width="460" height="{19 * len(_LEGEND) + 22}" rx="5" fill="white" '
        f'stroke="{_LINE}"/>'
    )
    parts += [
        f'<text x="92" y="{y + 19 * n}" font-size="14" fill="{_INK}">{escape(line)}</text>'
        for n, line in enumerate(_LEGEND)
    ]
    return "\n".join([*parts, "</svg>", ""])


def _x(number: int) -> int:
    return _LEFT + _STEP * number


def _y(number: int) -> int:
    return _TOP + _ROW * number


def _lines(here: str, place: Mapping[str, int], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """One line to the right of a room, to all that it imports, and one down on it, from all that import it."""
    x, y, found = _x(place[here]), _y(place[here]), []
    below = [place[there] for start, there in pairs if start == here and place[there] > place[here]]
    above = [place[start] for start, there in pairs if there == here and place[start] < place[here]]
    if below:
        found.append(f'<path d="M{x} {y}H{_x(max(below))}" stroke="{_LINE}" fill="none"/>')
    if above:
        tip = y - _ROW // 2 + 4
        found.append(f'<path d="M{x} {_y(min(above))}V{tip}" stroke="{_LINE}" fill="none"/>')
        found.append(f'<path d="M{x - 4} {tip - 6}h8l-4 7z" fill="{_LINE}"/>')
    return found


def _circle(pair: tuple[str, str], count: int, place: Mapping[str, int]) -> str:
    here, there = place[pair[0]], place[pair[1]]
    x, y = _x(there), _y(here)
    colour = _UP if there < here else ("#d9e8f6" if count < 10 else "#9fc5e8" if count < 30 else "#4a90d9")
    ink = "white" if there < here or count >= 30 else _INK
    told = escape(f"{pair[0]} imports {pair[1]}: {count}")
    return (
        f'<g><title>{told}</title><circle cx="{x}" cy="{y}" r="12" fill="{colour}"/>'
        f'<text x="{x}" y="{y + 4}" text-anchor="middle" fill="{ink}">{count}</text></g>'
    )


def _box(name: str, number: int, lines: int | None) -> str:
    x, y = _x(number) + 14 - _BOX, _y(number) - _ROW // 2 + 5
    said = "" if lines is None else f"{lines:,}".replace(",", "\u2009")
    return (
        f'<g class="room" id="{escape(name)}"><rect x="{x}" y="{y}" width="{_BOX}" height="{_ROW - 10}" rx="5" '
        f'fill="#fff3c4" stroke="#cb6e17"/><text x="{x + 8}" y="{y + 18}" fill="{_INK}">{escape(name)}</text>'
        f'<text x="{x + _BOX - 8}" y="{y + 18}" text-anchor="end" fill="#7b8794" font-size="11">{said}</text></g>'
    )


def main(file: Path = ROOT / "docs" / "rooms.svg") -> None:
    """Write the picture of the code beside this script, or to `file`."""
    file.write_text(draw(FLOORS, arrows(ROOT), lengths(ROOT)), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
