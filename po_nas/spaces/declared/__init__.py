"""Search spaces declared by named choices: `declare`, and the choices."""

from __future__ import annotations

from po_nas.spaces.declared.choices import Categorical, Choice, Float, Int, Ordinal
from po_nas.spaces.declared.declaration import declare
from po_nas.spaces.declared.errors import DeclarationError, InfeasibleError, SpaceChangedError
from po_nas.spaces.declared.space import DeclaredSpace

__all__ = [
    "Categorical",
    "Choice",
    "DeclarationError",
    "DeclaredSpace",
    "Float",
    "InfeasibleError",
    "Int",
    "Ordinal",
    "SpaceChangedError",
    "declare",
]
