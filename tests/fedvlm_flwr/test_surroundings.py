"""What a run's numbers come from beside its configuration."""

import subprocess

import torch

from fedvlm_flwr.config import compose
from fedvlm_flwr.surroundings import commit, device_name, surroundings


def test_what_decides_numbers_is_told_and_nothing_of_the_machine_but_its_device():
    facts = surroundings(compose({"overrides": "seed=5"}))
    assert facts["seed"] == 5
    assert facts["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert facts["device"] == device_name(torch.device("cpu")) != ""
    assert set(facts) == {"seed", "python", "packages", "source", "commit", "device", "threads"}


def test_a_commit_is_named_and_marked_where_files_differ(tmp_path):
    assert commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    clean = commit(tmp_path)
    assert clean is not None and len(clean) == 40
    (tmp_path / "new").write_text("")
    assert commit(tmp_path) == clean + "+"
    (tmp_path / ".git" / "HEAD").unlink()
    assert commit(tmp_path) is None
