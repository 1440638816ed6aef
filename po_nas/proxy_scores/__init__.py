"""Where proxy scores of architectures come from: a recorded table, networks that are scored, another task."""
