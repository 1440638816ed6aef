"""Proxy scores fused with weights of each architecture's own, learnt from the architectures evaluated.

`encoder` and `pretraining` turn architectures into embeddings without any accuracy, `weights` turns embeddings into
weights of proxies, `fused` weights and proxy scores into one, `ensemble` fits several of them to accuracies. Importing
this package does not import torch.

Reference: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search, NeurIPS 2025,
OpenReview mVh0lIsdUl.
"""
