"""Which tests take long: they start first, so that no process is left alone with one at the end."""

from collections.abc import Sequence

import pytest

# The beginnings of node ids, the files that take longest first: seconds to minutes on a quiet core.
# `make quick` leaves these out, and whatever else is marked as slow.
SLOW = (
    "tests/deployment/test_faults.py",
    "tests/deployment/test_run.py",
    "tests/deployment/test_canary.py",
    "tests/fedvlm_flwr/engines/test_ray.py",
    "tests/server_app/test_resume.py",
    "tests/server_app/test_all_algorithms.py",
    "tests/test_contributing.py::test_the_worked_examples",
    "tests/fedvlm_flwr/engines/test_failures.py",
    "tests/test_readme.py::test_fedvlm_run",
    "tests/test_readme.py::test_a_bare_flwr_run",
    "tests/test_reports_page.py",
    "tests/fedvlm_flwr/report/test_browser.py",
    "tests/server_app/test_models_and_tunings.py",
    "tests/server_app/test_damage.py",
    "tests/server_app/test_adapter.py",
    "tests/server_app/test_datasets.py",
    "tests/fedvlm_flwr/cli/test_environment.py",
    "tests/fedvlm_flwr/models/llava/test_language_models.py",
    "tests/fedvlm_flwr/models/weights/test_prepared.py",
    "tests/fedvlm_flwr/models/weights/test_quantized.py",
    "tests/fedvlm_flwr/models/hf_vlm/test_model.py",
    "tests/test_readme.py::test_other_commands",
    "tests/fedvlm_flwr/cli/test_resume.py",
    "tests/test_datasets_page.py",
    "tests/fedvlm_flwr/models/pretraining/test_tiny_showo.py",
    "tests/server_app/test_spreading.py",
    "tests/test_conf.py::test_experiments_go_with_every_model_and_dataset",
    "tests/test_packaging.py",
    "tests/server_app/test_sites.py",
    "tests/fedvlm_flwr/cli/test_plan.py",
    "tests/fedvlm_flwr/cli/test_cli.py",
    "tests/server_app/test_tunings.py",
    "tests/fedvlm_flwr/planning/test_memory.py",
    "tests/server_app/test_keeping.py",
    "tests/fedvlm_flwr/engines/test_superlink.py",
    "tests/fedvlm_flwr/residence/test_loop.py",
    "tests/fedvlm_flwr/models/weights/test_hub.py",
    "tests/fedvlm_flwr/cli/test_tune.py",
    "tests/fedvlm_flwr/cli/test_site.py",
    "tests/test_experiments_page.py",
    "tests/fedvlm_flwr/cli/test_export.py",
    "tests/fedvlm_flwr/cli/test_data.py",
    "tests/fedvlm_flwr/planning/test_footprint.py",
    "tests/benchmarks/test_side_by_side.py",
    "tests/fedvlm_flwr/config/test_light.py",
    "tests/fedvlm_flwr/cli/test_prepare.py",
    "tests/fedvlm_flwr/cli/test_params.py",
    "tests/fedvlm_flwr/takehome/test_loading.py",
)


def mark_slow(items: Sequence[pytest.Item]) -> None:
    """Mark the tests of SLOW; those that are marked by themselves stay so."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)


def slowest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Files with slow tests first, in the order of SLOW; a file's tests stay together."""
    files: dict[str, int] = {}
    for item in items:
        rank = _rank(item)
        file = item.nodeid.partition("::")[0]
        files[file] = min(rank, files.get(file, rank))
    return sorted(items, key=lambda item: files[item.nodeid.partition("::")[0]])


def _rank(item: pytest.Item) -> int:
    """The place in SLOW; a test marked by itself comes after these, and all others last."""
    own = (place for place, start in enumerate(SLOW) if item.nodeid.startswith(start))
    unlisted = len(SLOW) if item.get_closest_marker("slow") else len(SLOW) + 1
    return next(own, unlisted)
