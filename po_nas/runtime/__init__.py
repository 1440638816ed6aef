"""Running a search: the loop, its journal and run directory, budget, executors and tracking."""

import proxies  # noqa: F401 - its registry knows who reads files of evolved proxies, which plug-ins may be
