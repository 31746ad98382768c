"""What an engine died of, picked from its log."""

import pytest
from fedvlm_flwr.engines.actors.last_words import last_words

CHAIN = """INFO :  started
Traceback (most recent call last):
  File "a.py", line 1, in f
    raise ValueError("of an earlier try")
ValueError: of an earlier try

INFO :  again
\x1b[91mERROR \x1b[0m:     Traceback (most recent call last):
  File "a.py", line 1, in f
    f(
    ^^
KeyError: 'the cause'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "b.py", line 2, in g
    raise RuntimeError("An error was encountered.") from ex
RuntimeError: An error was encountered.
\x1b[92mINFO \x1b[0m:      SuperExec terminated gracefully.
"""
WARNING = "\x1b[93mWARNING \x1b[0m:   The ActorPool is empty. The system (CPUs=2.0, GPUs=0) ..."


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (WARNING, "The ActorPool is empty. The system (CPUs=2.0, GPUs=0) ..."),
        ("OSError: [Errno 28] No space left on device: '/x'", "No space left on device"),
        (
            "OSError: validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes",
            "AF_UNIX path length cannot exceed 107",
        ),
        (
            "\x1b[36m(ClientAppActor pid=123)\x1b[0m torch.OutOfMemoryError: CUDA out of memory. "
            "Tried to allocate 2 GiB",
            "torch.OutOfMemoryError: CUDA out of memory. Tried",
        ),
        (
            "\x1b[33m(raylet)\x1b[0m Raylet is terminated. Termination is unexpected.",
            "Raylet is terminated.",
        ),
    ],
    ids=["ActorPool", "ENOSPC", "AF_UNIX", "CUDA", "raylet"],
)
def test_a_known_cause_is_told_before_what_follows_from_it(tmp_path, line, words):
    log = tmp_path / "engine.log"
    log.write_text(f"{line}\n{CHAIN}")
    assert last_words(log, 0).startswith(words) or words in last_words(log, 0)
    assert "\x1b" not in last_words(log, 0) and "pid=" not in last_words(log, 0)


def test_else_the_first_exception_of_the_last_chain_is_told(tmp_path):
    log = tmp_path / "engine.log"
    log.write_text(CHAIN)
    assert last_words(log, 0) == "KeyError: 'the cause'"


def test_what_an_earlier_run_left_in_the_log_is_not_told(tmp_path):
    log = tmp_path / "engine.log"
    log.write_text(CHAIN)
    start = log.stat().st_size
    with log.open("ab") as file:
        file.write(b"\xff\xfe all is well\n")
    assert last_words(log, start) == ""
