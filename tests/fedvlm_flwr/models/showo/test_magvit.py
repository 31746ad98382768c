"""The image tokenizer against numbers of the published modules, and its promises."""

import numpy as np
import pytest
import torch

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.showo.magvit import Codebook, MagvitTokenizer, exact
from fedvlm_flwr.models.showo.sizes import MagvitSizes
from tests.showo_tiny import GOLDEN, IMAGE, golden_weight

PUBLISHED = MagvitSizes(
    encoder_channels=[128, 256, 256, 512, 512],
    encoder_blocks=[4, 3, 4, 3, 4],
    decoder_channels=[128, 128, 256, 256, 512],
    decoder_blocks=[4, 4, 3, 4, 3],
    bits=13,
    groups=32,
)
CONSTANT = ("quantize.embedding", "quantize.power_vals")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def golden() -> dict:
    return GOLDEN["magvitv2"]


@pytest.fixture(scope="module")
def published(golden) -> MagvitTokenizer:
    """The published sizes with the golden file's weights under their published names."""
    with torch.device("meta"):
        tokenizer = MagvitTokenizer(PUBLISHED)
    state = {name: golden_weight(name, s) for name, s in golden["keys"].items()}
    table = Codebook(PUBLISHED.bits)
    for name in CONSTANT:
        state[name] = getattr(table, name.removeprefix("quantize."))
    tokenizer.load_state_dict(state, strict=True, assign=True)
    return tokenizer


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    state = np.random.RandomState(GOLDEN["seed"] + 1)
    return torch.from_numpy(state.uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32))


@pytest.fixture
def small() -> MagvitTokenizer:
    torch.manual_seed(0)
    return MagvitTokenizer(IMAGE)


def test_names_and_shapes_are_the_published_ones(golden):
    with torch.device("meta"):
        state = MagvitTokenizer(PUBLISHED).state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == golden["keys"]


def test_latents_equal_the_published_modules(golden, published, pixels):
    with torch.no_grad():
        latents = published.latents(pixels)
    first = latents.flatten()[: len(golden["latent_first"])]
    assert first.tolist() == pytest.approx(golden["latent_first"], abs=1e-4)
    assert latents.abs().mean().item() == pytest.approx(golden["latent_abs_mean"], abs=1e-5)


def test_codes_equal_the_published_modules(golden, published, pixels):
    codes = published.encode(pixels)
    assert codes.dtype == torch.int64
    assert codes.tolist() == golden["codes"]


def test_decoded_pixels_equal_the_published_modules(golden, published):
    pixels = published.decode(torch.tensor(golden["codes"]))
    first = pixels.flatten()[: len(golden["decoded_first"])]
    assert pixels.shape == (2, 3, 64, 64)
    assert first.tolist() == pytest.approx(golden["decoded_first"], abs=1e-4)
    assert pixels.mean().item() == pytest.approx(golden["decoded_mean"], abs=1e-5)


def test_each_code_is_the_code_of_its_own_signs():
    table = Codebook(5)
    latents = table.embedding.T.reshape(1, 5, 8, 4)  # the 32 codes as a picture of 8 x 4 places
    assert table(latents).tolist() == [list(range(32))]
    assert table.embedding[17].tolist() == [1, -1, -1, -1, 1]


def test_any_shape_of_whole_cells_goes_there_and_back(small):
    codes = small.encode(torch.rand(2, 3, 32, 64))
    assert codes.shape == (2, 8)
    assert small.decode(codes, columns=4).shape == (2, 3, 32, 64)
    assert small.decode(codes[:, :4]).shape == (2, 3, 32, 32)


def test_codes_do_not_depend_on_the_precision_around(small):
    pixels = torch.rand(8, 3, 64, 64) * 2 - 1
    plain = small.encode(pixels)
    with torch.autocast("cpu", torch.bfloat16):
        surrounded = small.encode(pixels)
        rounded = small.encoder(pixels)  # what it would be
    assert torch.equal(plain, surrounded)
    assert not torch.equal(small.latents(pixels), rounded.float())


def test_exact_forbids_tf32_and_puts_everything_back():
    cudnn = torch.backends.cudnn
    before = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with exact(CPU):
            assert not cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(precision)
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"encoder_channels": [8, 8]}, r"\[2, 5, 5, 5\] entries"),
        ({"groups": 3}, "in 3 groups"),
        ({"bits": 0}, "with 0 bits"),
        ({"encoder_blocks": [0, 1, 0, 0, 0]}, "to make 16 channels of 8"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        MagvitTokenizer(MagvitSizes(**{**vars(IMAGE), **change}))
