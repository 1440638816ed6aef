"""Every registered surrogate keeps the contract."""

from __future__ import annotations

from typing import ClassVar

from po_nas.testing.surrogates import SurrogateConformance


class TestMLP(SurrogateConformance):
    surrogate = "mlp"
    options: ClassVar = {"settings": {"steps": 50, "learning_rate": 5e-3}, "network_options": {"width": 32, "layers": 2}}


class TestGCN(SurrogateConformance):
    surrogate = "gcn"
    options: ClassVar = {"loss": "mse", "settings": {"steps": 50}, "network_options": {"width": 16}}


class TestGAT(SurrogateConformance):
    surrogate = "gat"
    options: ClassVar = {"settings": {"steps": 50}, "network_options": {"width": 16, "layers": 1}}


class TestPINAT(SurrogateConformance):
    surrogate = "pinat"
    options: ClassVar = {"settings": {"steps": 50, "learning_rate": 5e-3}, "network_options": {"width": 16, "layers": 1}}


class TestEnsemble(SurrogateConformance):
    surrogate = "ensemble"
    options: ClassVar = {"settings": {"steps": 50}, "network_options": {"width": 16}, "members": 3, "loss": "mape"}
    space_name = "nasbench101"
