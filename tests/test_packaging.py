"""The same configuration from checkout, app bundle and installed wheel."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk, build_fab_from_files

from fedvlm_flwr.bundle import app_folder
from fedvlm_flwr.config import compose, to_yaml
from fedvlm_flwr.handshake import source
from fedvlm_flwr.paths import SHIPPED
from tests.printed import printed

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import json, sys
from fedvlm_flwr import config, paths
from fedvlm_flwr.bundle import app_folder
from fedvlm_flwr.handshake import source
from fedvlm_flwr.models import prepared_model
with app_folder() as folder:
    names = sorted(path.name for path in folder.iterdir() if path.name[0] not in "._")
chosen = config.compose(
    {"num-server-rounds": 4, "partition": "dirichlet", "algorithm": sys.argv[1]}
)
yaml = config.to_yaml(chosen)
base = str(prepared_model(chosen.model))
found = {"package": str(paths.PACKAGE), "yaml": yaml, "app": names, "base": base}
print(json.dumps({**found, "source": source()}))
"""


def composed_from(
    folder: Path, cwd: Path, *further: Path, algorithm: str = "fedavg"
) -> dict[str, str]:
    """What a process finds whose path begins with these folders."""
    path = os.pathsep.join(map(str, (folder, *further)))
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, algorithm],
        env={**os.environ, "PYTHONPATH": path},
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
    tops = [path for path in ROOT.iterdir() if path.name != ".venv"]  # 70,000 files
    paths = [path for top in tops for path in (top, *top.rglob("*")) if path.is_file()]
    files = {path.relative_to(ROOT).as_posix(): path for path in paths}
    bundle.write_bytes(build_fab_from_files(files)[0])
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "app")
        names = archive.namelist()
    result = composed_from(tmp_path / "app", tmp_path, ROOT)
    assert result["yaml"] == expected
    # A bundle takes no weights: they are those of the package that is installed beside it.
    assert Path(result["base"]).parent == ROOT / "fedvlm_flwr" / SHIPPED
    assert not [name for name in names if name.startswith(("tests/", "docs/", ".venv/"))]


def test_the_app_bundle_holds_what_is_of_a_plugin_folder(tmp_path, monkeypatch):
    """As an engine's processes find it, without the variable that names the folder."""
    for name, text in printed().items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("FEDVLM_PLUGINS", str(tmp_path / "own"))
    bundle = tmp_path / "app.fab"
    with app_folder() as folder:
        bundle.write_bytes(build_fab_from_disk(folder))
    expected = source()
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "app")
    monkeypatch.delenv("FEDVLM_PLUGINS")
    result = composed_from(tmp_path / "app", tmp_path, ROOT, algorithm="fedstep")
    assert "eta: 0.5" in result["yaml"]
    assert result["source"] == expected, "a site with the folder computes the same"


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
    page = tmp_path / "site" / "fedvlm_flwr" / "report" / "page"
    assert {"page.html", "style.css"} <= {path.name for path in page.iterdir()}
    packages = ["client_app", "conf", "fedvlm_flwr", "pyproject.toml", "server_app", "strategies"]
    assert result["app"] == packages
    assert Path(result["base"]).parent == tmp_path / "site" / "fedvlm_flwr" / SHIPPED
