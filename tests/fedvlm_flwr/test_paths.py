"""Places and atomic writes."""

import pwd
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.paths import atomic_path, conf_dir, fedvlm_home, write_atomic


def test_home_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "mine"))
    assert fedvlm_home() == (tmp_path / "mine").resolve()


@pytest.mark.parametrize("value", [None, ""])
def test_home_without_the_environments(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if value is None:
        monkeypatch.delenv("FEDVLM_HOME", raising=False)
    else:
        monkeypatch.setenv("FEDVLM_HOME", value)
    assert fedvlm_home() == (tmp_path / ".cache" / "fedvlm_flwr").resolve()


def test_home_is_absolute_and_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FEDVLM_HOME", "~/there")
    assert fedvlm_home() == (tmp_path / "there").resolve()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDVLM_HOME", "here")
    assert fedvlm_home() == (tmp_path / "here").resolve()


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number which no list of users knows."""
    monkeypatch.delenv("FEDVLM_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    with pytest.raises(ConfigError, match="this user has none; set FEDVLM_HOME"):
        fedvlm_home()


def test_conf_is_found() -> None:
    assert (conf_dir() / "config.yaml").is_file()
    assert (conf_dir() / "model" / "tiny_llava.yaml").is_file()


def test_atomic_path_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.bin"
    for content in (b"old", b"new"):
        with atomic_path(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary != target
            temporary.write_bytes(content)
        assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


def test_atomic_path_keeps_the_old_file_when_the_block_raises(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="stop"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("stop")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_path_makes_nothing_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "file.txt"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file.txt", "über")
    assert (tmp_path / "file.txt").read_text(encoding="utf-8") == "über"
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644


def test_modes_are_those_that_the_umask_asks_for(tmp_path: Path) -> None:
    """In a process of its own, which reads its umask when it starts."""
    code = "from pathlib import Path; from fedvlm_flwr import paths; import sys; from safetensors "
    code += "import numpy as st; import numpy as np; f = Path(sys.argv[1]); (f / 'a').mkdir(); "
    code += "st.save_file({'x': np.zeros(1)}, f / 'a' / 't'); paths.share(f / 'a'); "
    code += "paths.write_atomic(f / 'b', 'text')"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, umask=0o027)
    assert done.returncode == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"a": 0o750, "t": 0o640, "b": 0o640}


def test_a_reader_never_sees_half(tmp_path: Path) -> None:
    target, stop, seen = tmp_path / "file.txt", threading.Event(), set()
    texts = {letter * 200_000 for letter in "ab"}
    write_atomic(target, "a" * 200_000)

    def read() -> None:
        while not stop.is_set():
            seen.add(target.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(30):
            write_atomic(target, "ab"[number % 2] * 200_000)
    finally:
        stop.set()
        reader.join()
    assert seen <= texts
