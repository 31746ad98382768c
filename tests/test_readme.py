"""The README's commands run, shrunk to the smoke experiment; its files exist."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fedvlm_flwr.cli import from_home, main
from fedvlm_flwr.plugins import available
from fedvlm_flwr.processes import free_port, stop_family
from fedvlm_flwr.sweeps.place import is_sweep

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results" / "README.md").read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """The lines of a page's shell blocks, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", text.replace("\\\n", ""), flags=re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


COMMANDS = commands(README)
SHRUNK = ("experiment=smoke", "num_rounds=1", "eval.shuffled=false", "dataset.test_pictures=4")


def of(program: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(program)]


def run(command: list[str], **environment: str) -> str:
    bin_folder = Path(sys.executable).parent
    inherited = {key: value for key, value in os.environ.items() if key != "FEDVLM_FOLLOWED"}
    path = f"{bin_folder}{os.pathsep}{inherited['PATH']}"
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**inherited, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_shows_the_two_commands_and_flower_s_own():
    assert {"make run", "make test"} <= set(COMMANDS)
    assert of("flwr run") and of("fedvlm run") and of("fedvlm prepare") and of("fedvlm doctor")


def test_every_command_is_of_a_program_that_is_tested_here():
    known = ("make ", "fedvlm ", "flwr run", "git clone", "cd ", "source ", "export ", "python ")
    assert [command for command in COMMANDS if not command.startswith(known)] == []


@pytest.mark.parametrize("command", of("make "))
def test_make_targets_exist(command):
    target = shlex.split(command)[1]
    assert run(["make", "--dry-run", target])


LONG = [command for command in commands(RESULTS) if "experiment=compare" in command]


@pytest.mark.parametrize("command", LONG)
def test_the_comparisons_compose(command):
    """They take an hour; each of their runs differs by names that are composed here."""
    from fedvlm_flwr.config import compose

    words = [word for word in shlex.split(command)[2:] if word != "-m"]
    lists = [[f"{word.split('=')[0]}={v}" for v in word.split("=")[1].split(",")] for word in words]
    jobs = [compose({"overrides": " ".join(job)}) for job in itertools.product(*lists)]
    parts = [(j.algorithm.name, j.tuning.name, j.partition.name, j.wire.dtype) for j in jobs]
    assert len({(*part, j.seed) for part, j in zip(parts, jobs, strict=True)}) == len(jobs)
    if "algorithm=" in command:
        assert {job.algorithm.name for job in jobs} <= set(available("strategies"))


@pytest.mark.parametrize("command", of("fedvlm run"))
def test_fedvlm_run(command, small, tmp_path, capsys):
    words = [word for word in shlex.split(command)[1:] if not word.startswith("experiment=")]
    assert main([*words, *SHRUNK, "engine=inprocess", f"output_dir={tmp_path}"]) == 0
    last = "sweep folder: " if "-m" in words else "run folder: "
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith(last)


OTHERS = [command for command in of("fedvlm ") if not command.startswith("fedvlm run ")]


@pytest.mark.parametrize("command", OTHERS)
def test_other_commands(command, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extra = ["experiment=smoke"] if "prepare" in command else []
    assert main([*shlex.split(command)[1:], *extra]) == 0


DOCS = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
IN_DOCS = re.findall(r"^fedvlm [a-z]+ .*$", DOCS, flags=re.MULTILINE)


@pytest.mark.parametrize("command", IN_DOCS)
def test_commands_of_the_docs_compose(command):
    """Most need weights that are not here; their words must be right all the same."""
    from fedvlm_flwr.config import compose

    words = shlex.split(command.split(" #")[0])[2:]
    keys = [word for word in words if "=" in word]
    keys = [key for key in keys if not key.startswith(("raw=", "out=", "hydra/", "hydra."))]
    if "-m" in words or is_sweep(words):  # each of its values by itself, as a job has it
        lists = [[f"{key.split('=')[0]}={v}" for v in key.split("=")[1].split(",")] for key in keys]
        assert all(compose({"overrides": shlex.join(job)}) for job in itertools.product(*lists))
        return
    assert compose({"overrides": shlex.join(map(from_home, keys))})


@pytest.fixture
def own_superlink(tmp_path):
    """Ports and a home of our own; the SuperLink that `flwr run` leaves behind is ended."""
    port = str(free_port())
    yield {
        "FLWR_HOME": str(tmp_path / "flwr"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": port,
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
    }
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if port in words and any("flower-superlink" in word for word in words):
            stop_family(process.pid, 20)


def test_a_bare_flwr_run(small, own_superlink, tmp_path):
    """One for all of them: each differs from it by its run-config alone, which is composed."""
    config = f"experiment='smoke' num-server-rounds=1 output-dir='{tmp_path}' run-name='r'"
    text = run(["flwr", "run", ".", "--stream", "--run-config", config], **own_superlink)
    assert f"run folder: {tmp_path}/r" in text
    assert (tmp_path / "r" / "adapter" / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("command", [c for c in of("flwr run") if "--run-config" in c])
def test_flwr_run_configs_compose(command):
    from flwr.common.config import parse_config_args

    from fedvlm_flwr.config import compose

    words = shlex.split(command)
    assert compose(parse_config_args([words[words.index("--run-config") + 1]]))


def test_every_file_the_readme_names_exists():
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    assert linked
    assert [name for name in linked if not (ROOT / name).exists()] == []
