"""Where simulated clients keep their state: a place that nobody else can make."""

import pytest

from client_app.site import Site, state_folder
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import StateError
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.paths import client_states
from fedvlm_flwr.run_folder import RunFolder
from server_app.client_states import client_states_in

SIMULATED = None
RUN = "a" * 32


def request(session: str) -> TrainRequest:
    place = {"client": 0, "stage": 0, "round": 1, "run": RUN, "session": session}
    return TrainRequest(**place, data=(0,), arrays=pack(Arrays()))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> RunFolder:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def test_a_simulated_client_writes_into_the_run_folder(folder):
    with client_states_in(folder) as session:
        place = state_folder(request(session), SIMULATED)
        (place / "client_0").mkdir()
    assert (folder.path / "clients" / "client_0").is_dir()
    assert list(client_states().iterdir()) == []


def test_what_a_late_client_made_is_in_nobodys_way(folder):
    """A folder under the run's id, as clients of an ended run used to make, and what it holds."""
    (client_states() / RUN / "x").mkdir(parents=True)
    for _ in range(2):
        with client_states_in(folder) as session:
            assert state_folder(request(session), SIMULATED).resolve().parent == folder.path
    with pytest.raises(StateError, match="has ended"):
        state_folder(request(session), SIMULATED)
    assert not (client_states() / session).exists()


def test_a_run_folder_and_its_copy_go_on_side_by_side(folder, tmp_path):
    (tmp_path / "copy").mkdir()
    copy = RunFolder(tmp_path / "copy")
    with folder.locked(), copy.locked(), client_states_in(folder) as one:
        with client_states_in(copy) as two:
            places = [state_folder(request(session), SIMULATED).resolve() for session in (one, two)]
        assert state_folder(request(one), SIMULATED).resolve() == places[0]
    assert places == [folder.path / "clients", copy.path / "clients"]


def test_links_of_killed_runs_go_and_those_of_running_ones_stay(folder, tmp_path):
    links = client_states()
    links.mkdir(parents=True)
    for name in ("killed", "running"):
        (tmp_path / name / "clients").mkdir(parents=True)
        (links / name).symlink_to(tmp_path / name / "clients")
    (links / "gone").symlink_to(tmp_path / "removed" / "clients")
    with RunFolder(tmp_path / "running").locked(), client_states_in(folder) as session:
        assert {link.name for link in links.iterdir()} == {"running", session}


def test_a_site_keeps_its_state_under_the_runs_id(folder, tmp_path):
    site = Site(site="north", data_root=str(tmp_path), state_dir=str(tmp_path / "state"))
    assert state_folder(request("b" * 32), site) == tmp_path / "state" / RUN
