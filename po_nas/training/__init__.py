"""Real training of search spaces whose networks can be built, on public image data sets or one's own.

Importing this package does not import torch.
"""

from po_nas.training.recipe import chosen_loss

__all__ = ["OLD_NAMES", "chosen_loss"]

OLD_NAMES = {"scored": "proxy_batch"}
"""Names that options of trainings have now, by those that they had in version 0.1."""
