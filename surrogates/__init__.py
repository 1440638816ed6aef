"""Models that predict the performance of an architecture from its encoding."""
