"""Budgeted search: trials, searchers, budget, journal, executors and the run loop."""
