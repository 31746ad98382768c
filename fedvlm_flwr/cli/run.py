"""Run a federation, or with -m a sweep over several.

usage: fedvlm run [-m] [KEY=VALUE ...]

Keys and values are Hydra's, from the YAML files in conf/:

    fedvlm run                                     the default run
    fedvlm run num_rounds=3 partition=dirichlet partition.alpha=0.1
    fedvlm run engine=inprocess train.lr=3e-4
    fedvlm run -m seed=0,1,2 partition=iid,task    six runs, one after the other; the same command
                                                   again runs those that are not finished yet
    fedvlm run resume=<run folder>                 go on with a run that was ended
    fedvlm run report.live=true                    a page that grows with the run: docs/reports.md
    fedvlm run engine=superlink engine.connection=NAME ...    on real sites: docs/deploy.md

A run's folder is ./runs/<time and choices>, a sweep's ./runs/<what has several values and a hash of
the command>; output_dir, or $FEDVLM_RUNS, is another parent than ./runs.

--cfg job prints the whole configuration, --info all where each value comes from. The exit status
is 0 only if every run succeeded.
"""

import os
import shlex
import shutil
import signal
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fedvlm_flwr.config import Config, Scalar, from_hydra
from fedvlm_flwr.config.compose import our_sentences, quoted, searched, to_overrides, unquoted
from fedvlm_flwr.config.keys import Kinds, facts_at, kinds_of
from fedvlm_flwr.config.outside import require_closed
from fedvlm_flwr.engines import App, engine_kind, run_app
from fedvlm_flwr.errors import ConfigError, DamagedRun, FedVLMError, RunError
from fedvlm_flwr.machine_errors import machine_sentence
from fedvlm_flwr.paths import conf_dir
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.follow import following
from fedvlm_flwr.run_folder import CONFIG, FOLLOWED, PROGRESS, RunFolder, run_name
from fedvlm_flwr.saved_config import require_same_config
from fedvlm_flwr.settings import facts_of
from fedvlm_flwr.sweeps.outcomes import JOBS, Outcome
from fedvlm_flwr.sweeps.place import (
    is_sweep,
    job_name,
    parent_of,
    single_keys,
    sweep_name,
    swept_keys,
    working_runs,
)
from fedvlm_flwr.temporary import temporary_folder

LOG = "engine.log"
ENDING = (signal.SIGTERM, signal.SIGHUP)  # a process's end, and its terminal's
FLAGS = ("-m", "--multirun", "-r", "--run", "--resolve")  # of Hydra, that take no further word
SHOWS = {"-c", "--cfg", "-i", "--info"}  # of Hydra, that show what a run would be
MANY = 1000  # clients from which an engine takes so long to start that their data is seen to first


def main(arguments: list[str]) -> int:
    """Compose the configuration with Hydra and run each job; 1 if any failed."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    require_pairs(arguments)
    for number in ENDING:  # so that engines are ended
        if signal.getsignal(number) == signal.SIG_DFL:  # else nohup has it ignored
            signal.signal(number, lambda which, _: sys.exit(128 + which))
    arguments = [as_one_value(word) for word in arguments]
    words = [word for word in arguments if "=" in word and not word.startswith("-")]
    many = "-m" in arguments or "--multirun" in arguments
    if SHOWS & {word.partition("=")[0] for word in arguments}:
        require_one(words, many=many)
    elif many or is_sweep(words):
        return _run_sweep([word for word in arguments if word not in ("-m", "--multirun")], words)
    outcomes: list[Outcome] = []
    _with_hydra(with_saved(arguments), lambda tree: outcomes.append(attempt(tree)))
    return 1 if any(outcome.error for outcome in outcomes) else 0


def _run_sweep(arguments: list[str], words: list[str]) -> int:
    """Run the jobs of a sweep that are not finished yet, and say which have failed."""
    places = [unquoted(w.partition("=")[2]) for w in words if w.startswith("resume=")]
    begun = bool(places) and places[-1] != "null"
    others = [word for word in words if not word.startswith("resume=")]
    folder = Path(places[-1]).resolve() if begun else parent_of(words) / sweep_name(words)
    if begun and not folder.is_dir():
        raise RunError(f"resume={places[-1]}, but there is no such folder; name a sweep's folder.")
    jobs = folder / JOBS / uuid.uuid4().hex  # of this command: another may be at the same sweep
    same = f"hydra.job.config.override_dirname.exclude_keys=[{','.join(single_keys(others))}]"
    rest = [word for word in arguments if not word.startswith("resume=")]
    try:
        _with_hydra(["-m", *rest, same], sweep_job, jobs)
        outcomes = list(Outcome.read(jobs))
    except (KeyboardInterrupt, SystemExit):
        print("the same command goes on with the sweep", file=sys.stderr)
        raise
    finally:
        shutil.rmtree(jobs, ignore_errors=True)
        remove_empty(jobs.parent, folder)
    if any(outcome.folder for outcome in outcomes):
        print(f"sweep folder: {folder} (fedvlm report {shlex.quote(str(folder))})")
    failures = [outcome.words for outcome in outcomes if outcome.error]
    if failures:
        print(f"{len(failures)} runs failed: {'; '.join(failures)}", file=sys.stderr)
    return 1 if failures else 0


def remove_empty(*folders: Path) -> None:
    """Remove folders that nobody has put anything into."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def sweep_job(tree: DictConfig) -> None:
    """Run one job of a sweep, in whatever process its launcher chooses."""
    settings = HydraConfig.get()
    attempt(tree).write(Path(settings.sweep.dir), settings.job.num)


def attempt(tree: DictConfig) -> Outcome:
    """Run a job; a failure is told and returned, so that a sweep's other jobs go on."""
    words = " ".join(HydraConfig.get().overrides.task) or "the default run"
    try:
        return Outcome(words, str(run_job(tree).path))
    except FedVLMError as error:
        sentence = str(error)
    except Exception as error:  # a fault of ours must not take a sweep's other runs with it
        explanation = machine_sentence(error)
        if explanation is None:
            traceback.print_exc()
            return Outcome(words, error=f"{type(error).__name__}: {error}")
        sentence = explanation
    print(f"error: {sentence}", file=sys.stderr)
    return Outcome(words, error=sentence)


def as_one_value(word: str) -> str:
    """An override of a place (`output_dir=...`), whatever signs its text holds, as one value."""
    key, equals, value = word.partition("=")
    is_place = bool(equals) and facts_at(key, {}).place
    plain = value and value[0] not in "'\"" and value != "null"
    return f"{key}={quoted(os.path.expanduser(value))}" if is_place and plain else word  # noqa: PTH111


def require_pairs(arguments: list[str]) -> None:
    """Refuse a word that is neither KEY=VALUE nor one of Hydra's flags, nor what a flag takes.

    Raises:
        ConfigError: names it; most often it is the rest of a value with blanks.
    """
    for before, word in zip(["", *arguments], arguments, strict=False):
        takes_word = before.startswith("-") and before not in FLAGS
        if "=" not in word and not word.startswith(("-", "~")) and not takes_word:
            raise ConfigError(
                f"{word!r} (after {before!r}) is no KEY=VALUE; put a value with blanks in quotes, "
                "as in 'output_dir=my runs'."
            )


def require_one(words: list[str], *, many: bool) -> None:
    """Refuse to show the configuration of several runs.

    Args:
        many: whether the command line says that there are.

    Raises:
        ConfigError: they are several.
    """
    if keys := swept_keys(words):
        raise ConfigError(f"--cfg and --info show one run; give {keys[0]} one value.")
    if many:
        raise ConfigError("--cfg and --info show one run; leave out -m.")


def flags_first(arguments: list[str]) -> list[str]:
    """The arguments as Hydra reads them: its flags, with the word that some take, come first."""
    flags: list[str] = []
    others: list[str] = []
    for before, word in zip(["", *arguments], arguments, strict=False):
        takes = before.startswith("-") and before not in FLAGS and "=" not in before
        (flags if word.startswith("-") or (takes and "=" not in word) else others).append(word)
    return [*flags, *others]


def with_saved(arguments: list[str]) -> list[str]:
    """The arguments of a run to go on with: what it was started with, then what is given now.

    Raises:
        RunError: the folder of `resume=` holds no run.
    """
    resumes = [word for word in arguments if word.startswith("resume=")]
    path = unquoted(resumes[-1].partition("=")[2]) if resumes else ""
    if path in ("", "null"):
        return arguments
    folder = RunFolder.existing(path)
    saved = folder.run_config()
    settings = {k: v for k, v in saved.items() if not facts_at(k.replace("-", "_"), {}).place}
    now = {word.partition("=")[0] for word in arguments}
    others = [word for word in arguments if word not in resumes]
    before = [word for word in to_overrides(settings) if word.partition("=")[0] not in now]
    return [*before, *others, f"resume={quoted(str(folder.path))}"]


def _with_hydra(
    arguments: list[str], job: Callable[[DictConfig], None], jobs: Path | None = None
) -> None:
    """Let Hydra read the command line, call `job` once or once per combination.

    Args:
        jobs: Hydra's own folder for a sweep; None: there is none.
    """
    before = sys.argv
    run = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)
    with temporary_folder() as folder:
        place = f"hydra.sweep.dir={quoted(str(jobs or folder))}"
        sys.argv = ["fedvlm run", *flags_first(arguments), *searched(), place]
        try:
            with our_sentences(arguments), raised_by_hydra():
                run()
        finally:
            sys.argv = before


@contextmanager
def raised_by_hydra() -> Iterator[None]:
    """Have Hydra raise what it cannot compose, and not print it and end the process."""
    name = "HYDRA_FULL_ERROR"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def run_job(tree: DictConfig) -> RunFolder:
    """Run one federation and show its progress.

    Raises:
        FedVLMError: the configuration is wrong, or the run failed.
    """
    settings = HydraConfig.get()
    config, in_sweep = from_hydra(tree), settings.mode == RunMode.MULTIRUN
    if in_sweep:
        name = job_name(settings.job.num, settings.job.override_dirname)
        config = _in_sweep(config, Path(settings.sweep.dir).parent.parent, name)
    return _begin(config, settings.overrides.task, in_sweep=in_sweep)


def run_words(words: Sequence[str]) -> RunFolder:
    """Run one federation by the words of a command line, from within Python.

    Raises:
        FedVLMError: see `run_job`.
    """
    require_pairs(list(words))
    whole = with_saved([as_one_value(word) for word in words])
    places = {key: unquoted(value) for key, _, value in (w.partition("=") for w in whole)}
    own = {key: value for key, value in places.items() if facts_at(key, {}).place}
    others = [word for word in whole if _key(word) not in own]
    config = this_process().compose({"overrides": shlex.join(others)})
    where: dict[str, Any] = {key: None if value == "null" else value for key, value in own.items()}
    return _begin(replace(config, **where), others, in_sweep=False)


def _begin(config: Config, words: Sequence[str], *, in_sweep: bool) -> RunFolder:
    """Place a run, or find what there is of it, and run what is left.

    Args:
        words: the overrides that make the configuration.
    """
    # The folder is decided here; free-form overrides win over the run-config's own keys.
    own = [word for word in words if not facts_at(_key(word), {}).place]
    overrides = [from_anywhere(word, kinds_of(config)) for word in own]
    config = replace(config, output_dir=config.output_dir or str(working_runs()))
    require_closed(overrides)
    if not config.engine.real_sites and config.fixed_clients > MANY:
        this_process().test_shares(config)
    run_config: dict[str, Scalar] = {"overrides": shlex.join(overrides)}
    if config.resume:
        folder = RunFolder.existing(config.resume)
        run_config["resume"] = str(folder.path)
        if in_sweep and _is_finished(folder):
            require_same_config(config, folder)
            print(f"already finished: {folder.path}")
            return folder
    else:
        folder = RunFolder.create(config)
        run_config |= {"output-dir": str(folder.path.parent), "run-name": folder.path.name}
    if overrides == own:  # no path in them was made whole
        keys = [each.name for each in fields(Config) if facts_of(each).place]
        places = {key: run_config.get(key.replace("_", "-")) for key in keys}
        this_process().remember(run_config, replace(config, **places))  # type: ignore[arg-type]
    return run_federation(config, run_config, folder)


def _is_finished(folder: RunFolder) -> bool:
    """Whether nothing is left to do; of a damaged run the server says what it can go on from."""
    try:
        return folder.is_finished()
    except DamagedRun:
        return False


def _key(word: str) -> str:
    """The key of an override."""
    return word.partition("=")[0].lstrip("+~")


def from_anywhere(word: str, kinds: Kinds) -> str:
    """An override whose value is a file or folder of a model or a dataset, by its whole path.

    The processes of an engine start in folders of their own.

    Args:
        kinds: the kind that is chosen in each group.
    """
    key, _, value = word.partition("=")
    path = os.path.expanduser(value.strip("'\""))  # noqa: PTH111  # any text, also no path at all
    if facts_at(_key(word), kinds).path and value and os.path.exists(path):  # noqa: PTH110
        return f"{key}={quoted(str(Path(path).resolve()))}"
    return word


def _in_sweep(config: Config, parent: Path, name: str) -> Config:
    """Place a job in its sweep's folder: new, or where an earlier call has left it."""
    placed = replace(config, output_dir=str(parent), run_name=config.run_name or name, resume=None)
    folder = RunFolder(parent / run_name(placed))
    return replace(placed, resume=str(folder.path)) if (folder.path / CONFIG).exists() else placed


@contextmanager
def live_page(config: Config, folder: RunFolder) -> Iterator[None]:
    """Serve the run's page while the block lasts, where that is configured.

    Raises:
        ConfigError: the port is taken.
    """
    if not config.report.live:
        yield
        return
    from fedvlm_flwr.report.page.serving import serving  # brings what draws

    with serving(folder, config.report.port) as address:
        print(f"live page: {address}", flush=True)
        yield


def run_federation(config: Config, run_config: dict[str, Scalar], folder: RunFolder) -> RunFolder:
    """Start the engine and show what the run folder tells until it ends.

    Raises:
        FedVLMError: the run failed; the server's own sentence where it left one.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.require_free()
    folder.cut_half_line(PROGRESS)
    damage = folder.remove_damaged(PROGRESS)
    lines_before = len(list(folder.lines(PROGRESS)))
    # At once: it takes seconds until an engine has imported what a model needs.
    print(f"starting with engine={config.engine.name} in {folder.path}", flush=True)
    os.environ[FOLLOWED] = str(os.getpid())
    try:
        with live_page(config, folder), following(folder):
            if damage:
                folder.append(PROGRESS, {"event": "warning", "message": damage})
            app = App("server_app.app:app", "client_app.app:app", ("client_app.worker",))
            run_app(app, run_config, config.engine, config.num_clients or 1, folder.path / LOG)
    except FedVLMError as error:
        events = list(folder.lines(PROGRESS))[lines_before:]
        messages = [event["message"] for event in events if event["event"] == "error"]
        if not messages:
            raise
        raise RunError(f"{messages[-1]}\nrun folder: {folder.path}") from error
    except (KeyboardInterrupt, SystemExit):
        if not engine_kind(config.engine.name).OUTLIVES_COMMAND:
            print(f"ended. {folder.way_on}", file=sys.stderr)
        raise
    finally:
        del os.environ[FOLLOWED]
    return folder
