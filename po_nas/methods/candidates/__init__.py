"""The candidates of a search: architectures with their encodings and proxy scores, and how they evolve."""
