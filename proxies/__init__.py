"""Training-free metrics of any ``torch.nn.Module``."""
