"""Evaluations made elsewhere: read from an Optuna study, a NePS directory or a table, and written as a run."""
