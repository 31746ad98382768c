"""A reverse proxy that opens the Fleet API only is enough for a site, and shuts a stranger out."""

import pytest

from deploy.loopback import CONNECTION, Server, Site, make_keys, started
from fedvlm_flwr.cli import main
from tests.deployment.fleet_only import fleet_only

pytestmark = pytest.mark.slow


def test_a_site_comes_online_and_a_stranger_does_not(server: Server, capsys) -> None:
    words = ["site", f"ca={server.certificates / 'ca.crt'}", "experiment=smoke"]
    make_keys(server.certificates, "stranger", "stranger2")
    key = server.certificates / "sites" / "stranger.pub"
    # What nothing but the CA's file allows where the SuperLink itself is reached.
    assert "registered" in server.flwr("supernode", "register", str(key))
    assert main(["doctor", *words, f"superlink={server.address}"]) == 0
    assert "shows its Control API" in capsys.readouterr().out

    with fleet_only(server) as address:
        with started(Site(server, "north", 'site="north" data-root="/"', superlink=address)):
            pass
        config = server.flower_config.read_text()
        server.flower_config.write_text(config.replace(server.address, address))
        with pytest.raises(RuntimeError):
            server.flwr("supernode", "register", str(key.with_name("stranger2.pub")))
        with pytest.raises(RuntimeError):
            server.flwr("list")
        server.flower_config.write_text(config)
        assert main(["doctor", *words, f"superlink={address}"]) == 0
        output = capsys.readouterr().out
    assert f"ok    the SuperLink at {address} answers" in output
    assert "Control API" not in output and "the clock is within" in output
    assert CONNECTION in config
