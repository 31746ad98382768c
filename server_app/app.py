"""The ServerApp's door."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedvlm_flwr.errors import FedVLMError
from fedvlm_flwr.machine_errors import machine_sentence
from fedvlm_flwr.models.out_of_memory import explaining
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import RunFolder
from server_app.callbacks.progress import Progress
from server_app.run import Run

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the configured federation.

    Raises:
        FedVLMError: anything that cannot be done as configured, in one sentence; finished rounds
            stay in the run folder.
    """
    process = this_process()
    config = process.compose(context.run_config)
    folder = RunFolder.existing(config.resume) if config.resume else RunFolder.create(config)
    progress = Progress(folder)
    with folder.locked():  # whoever is refused here leaves nothing in the other's files
        try:
            run = Run(process, folder, progress, context.run_config)
            explaining("answering", lambda: config, lambda: run.execute(grid))
        except Exception as error:
            progress.tell("error", message=" ".join(_words(error).split()))
            raise


def _words(error: Exception) -> str:
    if isinstance(error, FedVLMError):
        return str(error)
    return machine_sentence(error) or f"{type(error).__name__}: {error}"
