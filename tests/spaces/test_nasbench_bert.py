"""The space of NAS-Bench-BERT."""

from __future__ import annotations

from po_nas import spaces
from po_nas.testing import SpaceConformance


class TestConformance(SpaceConformance):
    space = spaces.get("nasbench_bert")

    def construct(self, space):
        return "from po_nas import spaces\nspace = spaces.get('nasbench_bert')"


def test_size():
    assert spaces.get("nasbench_bert").size == 10_621_440
