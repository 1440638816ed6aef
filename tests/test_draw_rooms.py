"""The picture of the rooms is drawn from the code, all of them and nothing else."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.test_architecture import FLOORS

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def draw_rooms():
    spec = importlib.util.spec_from_file_location("draw_rooms", ROOT / "docs/draw_rooms.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rooms(svg: ET.Element) -> set[str]:
    return {group.get("id") for group in svg.iter(f"{SVG}g") if group.get("class") == "room"}


def test_every_room_is_drawn(draw_rooms, tmp_path):
    draw_rooms.main(tmp_path / "rooms.svg")
    text = (tmp_path / "rooms.svg").read_text(encoding="utf-8")
    assert rooms(ET.fromstring(text)) == {name for names in FLOORS for name in names}
    draw_rooms.main(tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text(encoding="utf-8") == text


def test_the_committed_picture_has_the_same_rooms():
    svg = ET.parse(ROOT / "docs/rooms.svg").getroot()
    assert rooms(svg) == {name for names in FLOORS for name in names}


def test_arrows_are_counted_and_those_that_point_up_are_red(draw_rooms):
    floors = (("ground",), ("house", "shed"), ("roof",))
    svg = ET.fromstring(draw_rooms.draw(floors, {("roof", "ground"): 12, ("ground", "house"): 3}))
    circles = {
        group.find(f"{SVG}title").text: group.find(f"{SVG}circle").get("fill")
        for group in svg.iter(f"{SVG}g")
        if group.find(f"{SVG}title") is not None
    }
    assert set(circles) == {"roof imports ground: 12", "ground imports house: 3"}
    assert circles["ground imports house: 3"] == "#c81e1e" != circles["roof imports ground: 12"]


def test_imports_between_rooms_are_found(draw_rooms):
    counts = draw_rooms.arrows(ROOT)
    assert counts["po_nas.methods", "surrogates"] > 10
    assert all(here != there for here, there in counts)
