"""Parameters and metrics of a search for MLflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric as MLflowMetric
from mlflow.tracking import MlflowClient

from po_nas.core.settings import flat
from po_nas.runtime.callbacks import RunInfo, ScalarCallback

__all__ = ["MLflowCallback"]


class MLflowCallback(ScalarCallback):
    """Logs a search to MLflow.

    The store is the one named by MLFLOW_TRACKING_URI, else a SQLite file in the run directory; MLflow's global state
    (active run, tracking URI) is not touched.
    """

    def __init__(self, directory: Path) -> None:
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(directory / 'mlflow.db').resolve()}"
        self._client: MlflowClient | None = None
        self._run_id = ""

    def on_start(self, info: RunInfo) -> None:
        self._client = MlflowClient(tracking_uri=self._uri)
        name = f"po-nas/{info.config['benchmark']}"
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._run_id = self._client.create_run(experiment, run_name=info.directory.name).info.run_id
        for key, value in flat(info.config).items():
            self._client.log_param(self._run_id, key, str(value))

    def log(self, values: Mapping[str, float], step: int, elapsed_s: float) -> None:
        if self._client is not None:
            metrics = [MLflowMetric(name, value, int(elapsed_s * 1000), step) for name, value in values.items()]
            self._client.log_batch(self._run_id, metrics=metrics)

    def on_end(self, summary: Mapping[str, Any]) -> None:
        if self._client is None:
            return
        self._client.set_tag(self._run_id, "incumbent", str(summary["incumbent"]))
        self._client.set_terminated(self._run_id)
