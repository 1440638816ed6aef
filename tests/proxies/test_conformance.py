"""The kit on proxies of the package, and on ones that break its rules."""

from __future__ import annotations

import itertools

import pytest

import proxies
from po_nas.testing.proxies import ProxyConformance

COUNT = itertools.count()
# One for every kind of pass; test_engine.py has the others for the most part of this.
NAMES = ["epe_nas", "fisher", "flops", "grasp", "meco", "ntk", "swap", "synflow", "zen", "zico", "az_trainability"]
NAMES += ["near", "vkdnw", "intrain", "l_swag", "dextr", "wrcor", "reg_swap", "meco_opt", "ncd_nwot", "ncd_swap"]
globals().update({f"Test_{name}": type(f"Test_{name}", (ProxyConformance,), {"proxy": name}) for name in NAMES})


@pytest.mark.parametrize(
    ("options", "function", "broken"),
    [
        ({}, lambda c: float(next(COUNT)), "test_same_seed_same_score"),
        ({}, lambda c: c.outputs.std(), "test_scores_are_numbers"),
        ({}, lambda c: float(c.labels.sum()), "test_labels_are_declared"),
        ({}, lambda c: 1 / 0, "test_networks_without_a_score_have_a_typed_error"),
        ({}, lambda c: 1.0, "test_can_be_sent_to_a_worker"),
        ({}, lambda c: float(c.inputs.add_(1).sum()), "test_leaves_nothing_behind"),
    ],
)
def test_the_kit_finds_what_is_wrong(options, function, broken):
    proxies.proxy("wrong", summary="wrong", **options)(function)
    try:
        kit = type("Kit", (ProxyConformance,), {"proxy": "wrong"})()
        kit.test_record()
        with pytest.raises(Exception):  # noqa: B017, PT011 - an assertion or a pickling error
            getattr(kit, broken)()
    finally:
        proxies.registry.remove("wrong")
