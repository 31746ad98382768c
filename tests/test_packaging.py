"""The same configuration from checkout, app bundle and installed wheel."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk

from fedvlm_flwr.config import compose, to_yaml

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import json, sys
from fedvlm_flwr import config, paths
from fedvlm_flwr.bundle import app_folder
with app_folder() as folder:
    names = sorted(path.name for path in folder.iterdir() if path.name[0] not in "._")
yaml = config.to_yaml(config.compose({"num-server-rounds": 4, "partition": "dirichlet"}))
print(json.dumps({"package": str(paths.PACKAGE), "yaml": yaml, "app": names}))
"""


def composed_from(folder: Path, cwd: Path) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, str] = json.loads(done.stdout)
    assert Path(result["package"]).parent == folder
    return result


@pytest.fixture(scope="module")
def expected() -> str:
    return to_yaml(compose({"num-server-rounds": 4, "partition": "dirichlet"}))


def test_the_app_bundle_holds_the_configuration(tmp_path, expected):
    bundle = tmp_path / "app.fab"
    bundle.write_bytes(build_fab_from_disk(ROOT))
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "app")
        names = archive.namelist()
    assert composed_from(tmp_path / "app", tmp_path)["yaml"] == expected
    assert not [name for name in names if name.startswith(("tests/", "docs/", ".venv/"))]


def test_the_wheel_holds_the_configuration_and_a_whole_app(tmp_path, expected):
    command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, *command, "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    result = composed_from(tmp_path / "site", tmp_path)
    assert result["yaml"] == expected
    packages = ["client_app", "conf", "fedvlm_flwr", "pyproject.toml", "server_app", "strategies"]
    assert result["app"] == packages
