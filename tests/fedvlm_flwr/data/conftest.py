import pytest

from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.data.sets import easyvqa


@pytest.fixture(scope="session")
def small_easyvqa(tmp_path_factory: pytest.TempPathFactory) -> FederatedData:
    """All public pictures, 30 of the clients' and 20 test pictures, in a home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDVLM_HOME", str(tmp_path_factory.mktemp("home")))
        return easyvqa.load(easyvqa.Params(train_pictures=30, test_pictures=20))
