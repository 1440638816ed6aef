"""The spaces of ViT-Bench-101."""

from __future__ import annotations

from po_nas import spaces
from po_nas.testing import SpaceConformance


class _Registered(SpaceConformance):
    def construct(self, space):
        return f"from po_nas import spaces\nspace = spaces.get({space.name!r})"


class TestAutoFormer(_Registered):
    space = spaces.get("vit_autoformer")


class TestPiT(_Registered):
    space = spaces.get("vit_pit")


def test_sizes():
    assert spaces.get("vit_autoformer").size == 1_056_964_608
    assert spaces.get("vit_pit").size == 1_600
