"""Evolutionary proposal of architectures with pymoo, over any search space."""

from __future__ import annotations

from po_nas.evolution.evolve import evolve
from po_nas.evolution.generation import edit_path, generation, path_crossover, select_survivors

__all__ = ["edit_path", "evolve", "generation", "path_crossover", "select_survivors"]
