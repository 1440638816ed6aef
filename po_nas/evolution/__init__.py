"""Evolutionary proposal of architectures with pymoo, over any search space."""

from __future__ import annotations

from po_nas.evolution.evolve import evolve

__all__ = ["evolve"]
