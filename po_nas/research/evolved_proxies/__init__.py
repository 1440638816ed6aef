"""Evolved proxies: formulas found by genetic programming, and how well they order architectures, seen and unseen."""
