"""Environments of real machines: what would break a run is set right, or told in one sentence."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.font_manager  # which makes the list, where there is none
import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.run_folder import PROGRESS, RunFolder

PROGRAM = str(Path(sys.executable).with_name("fedvlm"))
SHORT = ["num_rounds=1", "eval.shuffled=false", "eval.bootstrap=1"]
# Matplotlib's list of fonts, which a run in a home of its own would make, and say so after seconds.
FONTS = matplotlib.get_cachedir()
LIBC = ctypes.CDLL(None)
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def obey_modes() -> None:
    """In a child: let even root obey the modes of files."""
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def fedvlm(*words: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {key: value for key, value in os.environ.items() if key != "FEDVLM_FOLLOWED"}
    return subprocess.run(
        [PROGRAM, *words],
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=obey_modes,  # system calls, nothing that can lock
    )


@pytest.fixture
def read_only(tmp_path):
    """Makes a folder, and all in it, such that nobody can write; until the test ends."""
    changed: list[Path] = []

    def change(folder: Path) -> Path:
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
                changed.append(path)
        return folder

    yield change
    for path in changed:
        path.chmod(path.stat().st_mode | 0o200)


@pytest.fixture(scope="module")
def made_here(small, home) -> list[str]:
    """Words of a run whose base does not travel with the package, and is prepared in the cache."""
    phases = ("vision", "text", "language")
    words = [*small, *(f"model.tiny.pretrain.{phase}.steps=1" for phase in phases)]
    assert main(["prepare", *words]) == 0
    return words


def test_a_prepared_cache_of_somebody_elses_serves_a_run_from_a_folder_of_nobodys(
    made_here, home, read_only, tmp_path
):
    """The cache and the current folder can only be read, and the terminal takes ASCII only.

    The clients keep something (control variates), for which the user's own cache is used.
    """
    (tmp_path / "cwd").mkdir()
    (tmp_path / "shared").mkdir()
    for name in ("models", "datasets"):
        copy_tree(home / name, tmp_path / "shared" / name)
    place = read_only(tmp_path / "shared")
    own = {"FEDVLM_HOME": str(place), "HOME": str(tmp_path / "user"), "MPLCONFIGDIR": FONTS}
    words = [*made_here, *SHORT, "algorithm=scaffold", f"output_dir={tmp_path / 'runs'}"]
    cwd = read_only(tmp_path / "cwd")
    done = fedvlm("run", *words, cwd=cwd, PYTHONIOENCODING="ascii", **own)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert re.search(r"^ before +", done.stdout, re.M) and re.search(
        r"^ -{40,}$", done.stdout, re.M
    )
    assert "run folder: " in done.stdout
    assert list(cwd.iterdir()) == []
    assert (tmp_path / "user" / ".cache" / "fedvlm_flwr" / "features").is_dir()


def copy_tree(source: Path, target: Path) -> None:
    """As `cp -r`: with the modes that files have."""
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)


def test_everything_that_is_prepared_can_be_read_by_others(made_here, home):
    files = [path for path in (home / "models").rglob("*") if not path.name.startswith(".")]
    assert {"model.safetensors"} <= {path.name for path in files}
    modes = {oct(path.stat().st_mode & 0o777) for path in files if path.is_file()}
    umask = os.umask(0)
    os.umask(umask)
    assert modes == {oct(0o666 & ~umask)}


def test_a_file_of_the_cache_that_is_another_users_alone_is_named(made_here, home, tmp_path):
    copy_tree(home / "models", tmp_path / "models")
    copy_tree(home / "datasets", tmp_path / "datasets")
    for path in (tmp_path / "models").glob("tiny_llava*/model.safetensors"):
        path.chmod(0)
    words = [*made_here, *SHORT, f"output_dir={tmp_path / 'runs'}"]
    done = fedvlm("run", *words, cwd=tmp_path, FEDVLM_HOME=str(tmp_path))
    assert done.returncode == 1
    assert re.search(r"^error: .*safetensors is another user's .*chmod -R a\+rX", done.stderr, re.M)
    assert "Traceback" not in done.stderr


def test_the_doctor_names_six_and_more_in_one_run(tmp_path, read_only):
    """Each with its cure; the machine is looked at for a run that asks for too much."""
    (tmp_path / "foreign" / "strategies").mkdir(parents=True)
    (tmp_path / "foreign" / "strategies" / "__init__.py").touch()
    (tmp_path / "home").mkdir()
    long = tmp_path / ("x" * 60)
    (long / "ray").mkdir(parents=True)
    environment = {
        "http_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
        "NO_PROXY": "",
        "TMPDIR": str(long),
        "RAY_ADDRESS": "10.0.0.1:6379",
        "PYTHONIOENCODING": "ascii",
        "FEDVLM_HOME": str(read_only(tmp_path / "home")),
        "HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1",
    }
    path = os.environ.get("PYTHONPATH", "")
    words = ["engine.cpus_per_client=1024"]
    done = fedvlm("doctor", *words, cwd=tmp_path, PYTHONPATH=path, **environment)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    for level, problem, cure in [
        ("warn", "http_proxy sends a bare", "set no_proxy=127.0.0.1,localhost"),
        ("warn", f"TMPDIR has {len(str(long))} bytes", "set RAY_TMPDIR=/tmp"),
        ("warn", "RAY_ADDRESS=10.0.0.1:6379: a bare", "set RAY_ADDRESS=local"),
        ("warn", "the output's encoding is ascii", "set PYTHONIOENCODING=utf-8"),
        ("FAIL", "home is no folder to write to", "set FEDVLM_HOME"),
        ("FAIL", "engine.cpus_per_client=1024, but", "set it to at most"),
    ]:
        (line,) = (line for line in lines if problem in line)
        assert line.startswith(level) and cure in line

    (long / "ray" / "ray_current_cluster").write_text("127.0.0.1:6379")
    (tmp_path / "own").mkdir()
    environment |= {"RAY_ADDRESS": "", "HOME": str(tmp_path / "own")}
    path = os.pathsep.join(filter(None, [str(tmp_path / "foreign"), path]))
    done = fedvlm("doctor", cwd=tmp_path, PYTHONPATH=path, **environment)
    assert done.returncode == 1
    for level, problem, cure in [
        ("warn", "home is not yours to write to", "set output_dir"),
        ("warn", f"Ray runs here ({long}/ray/ray_current_cluster)", "set RAY_ADDRESS=local"),
        ("FAIL", f"'strategies' in {tmp_path / 'foreign'} hides ours", "off PYTHONPATH"),
    ]:
        (line,) = (line for line in done.stdout.splitlines() if problem in line)
        assert line.startswith(level) and cure in line


@pytest.mark.parametrize("name", ["strategies", "client_app", "server_app"])
def test_a_package_that_hides_ours_is_named(tmp_path, monkeypatch, capsys, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    assert main(["run"]) == 1
    assert f"error: The package '{name}' in {tmp_path} hides" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["output_dir=/x/my", "runs"], r"error: 'runs' \(after 'output_dir=/x/my'\) is no KEY="),
        (["runs", "-m"], r"error: 'runs' \(after '.*'\) is no KEY=VALUE; put .* in quotes"),
        (["run_name=" + 300 * "x"], r"error: The run folder .* \(File name too long\).* run_name"),
        (["output_dir={file}"], r"error: The run folder .* \(Not a directory\); set output_dir"),
    ],
    ids=["blank", "word", "long", "file"],
)
def test_a_place_that_cannot_be_is_one_sentence(small, tmp_path, capsys, words, sentence):
    (tmp_path / "file").touch()
    words = [word.format(file=tmp_path / "file") for word in words]
    assert main(["run", *small, *words]) == 1
    error = capsys.readouterr().err.strip()
    assert re.match(sentence, error) and "\n" not in error


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--info", "all"], ["~eval.shuffled"]])
def test_hydras_own_words_are_left_to_hydra(words):
    from fedvlm_flwr.cli.run import require_pairs

    require_pairs(["num_rounds=1", *words, "seed=1"])


@pytest.fixture
def small_disk(tmp_path):
    """A file system with 100 kB of room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by a privileged root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_output_disk_is_one_sentence(small, small_disk, capsys):
    assert main(["run", *small, *SHORT, f"output_dir={small_disk}", "run_name=run"]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: No space left on device") and "make room there" in error
    assert "Traceback" not in error
    (event,) = (e for e in RunFolder(small_disk / "run").lines(PROGRESS) if e["event"] == "error")
    assert "make room there" in event["message"]


def test_a_refused_resume_writes_nothing_into_the_running_runs_files(small, tmp_path, capsys):
    place = [f"output_dir={tmp_path}", "run_name=run"]
    assert main(["run", *small, *SHORT, *place]) == 0
    folder = RunFolder(tmp_path / "run")
    before = contents(folder.path)
    capsys.readouterr()
    with folder.locked():
        assert main(["run", f"resume={folder.path}"]) == 1
        assert "is being run by another process" in capsys.readouterr().err
        assert contents(folder.path) == before


def test_a_server_that_is_refused_writes_nothing_either(start, small, app):
    """`flwr run` goes past the command line's look at the lock."""
    from fedvlm_flwr.config import compose
    from fedvlm_flwr.engines import run_app
    from fedvlm_flwr.errors import RunError

    folder = start(*SHORT)
    before = contents(folder.path)
    config = {"overrides": " ".join([*small, *SHORT]), "resume": str(folder.path)}
    with folder.locked(), pytest.raises(RunError, match="is being run by another process"):
        run_app(app, config, compose(config).engine, 3, folder.path / "engine.log")
    assert contents(folder.path) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
