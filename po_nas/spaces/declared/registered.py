"""Declared spaces that come with the package."""

from __future__ import annotations

from typing import Any

from po_nas.spaces.declared.space import DeclaredSpace
from po_nas.spaces.networks import SpaceNetworks, networks_of

__all__ = ["RegisteredSpace"]


class RegisteredSpace(DeclaredSpace):
    """A declared space whose networks are registered under its name (`po_nas.networks`), as those of any other space.

    The registry of spaces holds it under its name with the spec ``declared``.
    """

    @property
    def has_network(self) -> bool:
        """Always."""
        return True

    @property
    def network_options(self) -> dict[str, Any]:
        """The options of the registered networks."""
        return self._networks.options()

    @property
    def network_choices(self) -> frozenset[str]:
        """All choices: each is one of the network."""
        return frozenset(self.choices)

    @property
    def network_identity(self) -> str:
        """The name."""
        return self.name

    @property
    def _networks(self) -> SpaceNetworks:
        return networks_of(self.name)
