"""peft is imported without what only a compiled function needs."""

import subprocess
import sys

import pytest
import torch

from fedvlm_flwr.models.peft_layers import late_compilation

COMPILER = "torch._inductor.compile_fx"


def test_what_is_compiled_meanwhile_is_compiled_when_it_is_called(monkeypatch) -> None:
    compiled = []

    def compiler(function, **options):
        compiled.append((function.__name__, options))
        return lambda *args: ("compiled", function(*args))

    monkeypatch.setattr(torch, "compile", compiler)
    with late_compilation():

        @torch.compile
        def double(x):
            return 2 * x

        @torch.compile(dynamic=False)
        def half(x):
            return x / 2

    assert torch.compile is compiler and compiled == []
    assert [double(2), double(3), half(4)] == [("compiled", 4), ("compiled", 6), ("compiled", 2)]
    assert compiled == [("double", {}), ("half", {"dynamic": False})]


def test_the_compiler_is_back_where_an_import_fails() -> None:
    before = torch.compile
    with pytest.raises(ImportError), late_compilation():
        raise ImportError("no such package")
    assert torch.compile is before


def test_a_process_that_trains_loads_no_compiler() -> None:
    pytest.importorskip("bitsandbytes")
    names = ["bitsandbytes", COMPILER]
    code = f"import sys, client_app.worker; print(*[name in sys.modules for name in {names}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
