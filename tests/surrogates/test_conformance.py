"""Surrogates keep the contract; the single networks and the ensemble are one class, so three stand for all."""

from __future__ import annotations

from typing import ClassVar

from po_nas.testing.surrogates import SurrogateConformance


class TestMLP(SurrogateConformance):
    surrogate = "mlp"
    options: ClassVar = {
        "settings": {"steps": 50, "learning_rate": 5e-3},
        "network_options": {"width": 32, "layers": 2},
    }


class TestGCN(SurrogateConformance):
    surrogate = "gcn"
    options: ClassVar = {"loss": "mse", "settings": {"steps": 50}, "network_options": {"width": 16}}


class TestEnsemble(SurrogateConformance):
    surrogate = "ensemble"
    options: ClassVar = {
        "network": "gat",
        "members": 3,
        "loss": "mape",
        "settings": {"steps": 50},
        "network_options": {"width": 16, "layers": 1},
    }
    space_name = "nasbench101"


class TestFusedPredictor(SurrogateConformance):
    surrogate = "fused_predictor"
    options: ClassVar = {"members": 3, "settings": {"steps": 40}, "network_options": {"width": 16}}


class TestFusedPredictorUnderAnotherLoss(SurrogateConformance):
    surrogate = "fused_predictor"
    options: ClassVar = {
        "network": "mlp",
        "members": 2,
        "loss": "mse",
        "settings": {"steps": 40},
        "network_options": {"width": 16},
        "parts": "predictor",
    }
    space_name = "nasbench101"
