"""The contracts of a search: objectives, trials, searchers, sources of proxy scores, transfer, settings."""
