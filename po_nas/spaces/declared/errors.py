"""What can be wrong with a declared search space."""

from __future__ import annotations

from collections.abc import Sequence

from po_nas.errors import PoNasError

__all__ = ["DeclarationError", "InfeasibleError", "SpaceChangedError"]


class DeclarationError(PoNasError, ValueError):
    """A declaration that makes no search space; `where` names the choice or what else is wrong, `reason` says why."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"{where}: {reason}")


class InfeasibleError(DeclarationError):
    """Constraints that hardly anything fulfils: of `drawn` configurations `passed` did; `counted` says that those are
    all there are."""

    def __init__(
        self, space: str, constraints: Sequence[str], passed: int, drawn: int, *, counted: bool = False
    ) -> None:
        self.space, self.constraints, self.passed, self.drawn = space, tuple(constraints), passed, drawn
        self.share, self.counted = passed / drawn, counted
        these = "architectures that there are" if counted else "drawn configurations"
        super().__init__(
            f"constraints of {space}",
            f"{passed} of {drawn:,} {these} ({self.share:.2%}) fulfil {', '.join(constraints)}; loosen "
            f"them{'' if counted else ', or narrow the choices to where they hold'}",
        )


class SpaceChangedError(PoNasError):
    """A search space that is not the one with which a run began; `changes` names what differs."""

    def __init__(self, space: str, changes: Sequence[str]) -> None:
        self.space, self.changes = space, tuple(changes)
        super().__init__(
            f"the space {space} has changed since the run began ({'; '.join(self.changes)}); put it back, or start a "
            "new run"
        )
