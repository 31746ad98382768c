"""The ServerApp's door, which imports neither torch nor transformers by itself.

What cannot be configured is told before they are loaded.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedvlm_flwr.config import Engine
from fedvlm_flwr.errors import FedVLMError
from fedvlm_flwr.first_import import first_import
from fedvlm_flwr.log_stream import LogSender
from fedvlm_flwr.machine_errors import machine_sentence
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import RunFolder
from server_app.callbacks.progress import Progress

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
    sender = log_sender(config.engine, folder)
    progress = Progress(folder, sender)
    with folder.locked(), sending(sender):  # who is refused leaves nothing in the other's files
        progress.begin()
        try:
            with first_import():
                from fedvlm_flwr.models.out_of_memory import explaining
                from server_app.run import Run
            run = Run(process, folder, progress, context.run_config)
            if sender is not None:
                sender.start()
            explaining("answering", lambda: config, lambda: run.execute(grid))
        except Exception as error:
            progress.tell("error", message=" ".join(_words(error).split()))
            raise


def log_sender(engine: Engine, folder: RunFolder) -> LogSender | None:
    """Who sends events and results through Flower's log; None where the user has the folder."""
    if engine.connection is None:
        return None
    return LogSender(folder, largest=engine.result_megabytes * 1e6)


@contextmanager
def sending(sender: LogSender | None) -> Iterator[None]:
    """Send what the run came to when the block ends, well or not."""
    try:
        yield
    finally:
        if sender is not None:
            sender.end()


def _words(error: Exception) -> str:
    if isinstance(error, FedVLMError):
        return str(error)
    return machine_sentence(error) or f"{type(error).__name__}: {error}"
