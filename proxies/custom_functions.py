"""Functions of a module's own, with a backward of their own (`torch.autograd.Function`)."""

from __future__ import annotations

import sys

from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import CheckpointFunction

from po_nas.errors import UnsupportedModuleError

__all__ = ["inside_function"]


def inside_function() -> bool:
    """Whether the forward of a function with a backward of its own is running.

    Re-entrant checkpointing, whose parts are not in the graph, is refused.
    """
    frame, inside = sys._getframe(), False
    while frame.f_back is not None:
        frame = frame.f_back
        names = frame.f_code.co_varnames
        inside |= bool(names) and isinstance(frame.f_locals.get(names[0]), FunctionCtx)
        if frame.f_code is CheckpointFunction.forward.__code__:
            reason = (
                "re-entrant checkpoints cannot be differentiated by weights; use checkpoint(…, use_reentrant=False)"
            )
            raise UnsupportedModuleError("*", reason, "checkpoints that are not re-entrant")
    return inside
