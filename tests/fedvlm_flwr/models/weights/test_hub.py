"""A hub that does not answer is asked once; what the cache has is read all the same."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

READ = """
import sys
from transformers import AutoModelForCausalLM
from fedvlm_flwr.models.weights.sources import read_config, read_weights
source = sys.argv[1]
print(read_config(source).model_type)
model, _ = read_weights(AutoModelForCausalLM, source, "a language model")
print(sum(p.numel() for p in model.parameters()))
"""


class Silent:
    """A hub that takes connections and hangs up, and counts them."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    yield server
    server.close()


def read(source: str, endpoint: str, cache: Path) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_OFFLINE")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "no_proxy": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, "-c", READ, source],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_model_in_the_cache_is_read_without_a_network(silent, llama, tmp_path):
    folder = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(llama, folder / "snapshots" / "abc")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    began = time.monotonic()
    done = read("org/tiny", silent.address, tmp_path)
    assert done.returncode == 0, done.stderr
    kind, size = done.stdout.split()
    assert kind == "llama" and int(size) > 0
    assert silent.connections == 1
    assert time.monotonic() - began < 60
    assert f"{silent.address} does not answer" in done.stderr


def test_what_the_cache_lacks_is_told_in_one_sentence(silent, tmp_path):
    done = read("org/missing", silent.address, tmp_path)
    assert "ModelError: org/missing cannot be read as a model's configuration" in done.stderr
    assert silent.connections == 1
