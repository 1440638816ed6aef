"""The study of evolved metrics: how well formulas found by genetic programming order architectures, seen and unseen."""
