"""MLflow (an extra: `pip install "fedvlm-flwr[mlflow]"`).

Where $MLFLOW_TRACKING_URI is not set, the run is written to `mlflow.db` of its folder, which
`mlflow ui --backend-store-uri sqlite:///<folder>/mlflow.db` shows.
"""

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from fedvlm_flwr.run_folder import RunFolder
from server_app.callbacks.trackers.base import not_installed, numbers_of, scores_of
from strategies.core.events import Callback, Evaluation, Round
from strategies.core.state import ServerState

EXPERIMENT = "fedvlm_flwr"
FILE = "mlflow.db"
ADDRESS = "MLFLOW_TRACKING_URI"
AT_ONCE = 90  # parameters of a request; MLflow takes a hundred
LENGTH = 500  # characters of a parameter's value


class MLflow(Callback):
    """Writes losses, seconds, bytes and scores as metrics, the configuration as parameters.

    Raises:
        ConfigError: MLflow is not installed.
    """

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a run's numbers stay here
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError as error:
            raise not_installed("mlflow") from error
        place = os.environ.get(ADDRESS) or f"sqlite:///{folder.path / FILE}"
        self._client = MlflowClient(tracking_uri=place)
        self._metric, self._param = Metric, Param
        self._name, self._settings = folder.path.name, settings
        self._run = ""

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on with the run that was begun."""
        self._run = str(memory.get("run", ""))

    def memory(self) -> dict[str, Any]:
        """MLflow's id of the run."""
        return {"run": self._run}

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """The round's numbers."""
        self._add(numbers_of(account), account.number)

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """The scores, controls beside them."""
        self._add(scores_of(evaluation), evaluation.number)

    def on_end(self, failed: bool) -> None:
        """Note how it ended; one that goes on later is running again then."""
        if self._run:
            self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")

    def _add(self, values: Mapping[str, float], number: int) -> None:
        self._run = self._run or self._begun()
        now = int(time.time() * 1000)
        metrics = [self._metric(name, value, now, number) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def _begun(self) -> str:
        """A new run with the configuration as its parameters; its id."""
        before = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = before.experiment_id if before else self._client.create_experiment(EXPERIMENT)
        run = str(self._client.create_run(experiment, run_name=self._name).info.run_id)
        for params in self._params():
            self._client.log_batch(run, params=params)
        return run

    def _params(self) -> Iterator[list[Any]]:
        params = [self._param(k, str(value)[:LENGTH]) for k, value in self._settings.items()]
        yield from (params[start : start + AT_ONCE] for start in range(0, len(params), AT_ONCE))


def tracker(folder: RunFolder, settings: Mapping[str, Any]) -> Callback:
    """See `TrackerKind`."""
    return MLflow(folder, settings)
