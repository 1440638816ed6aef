"""Running a search: the loop, its journal and run directory, budget, executors and tracking."""
