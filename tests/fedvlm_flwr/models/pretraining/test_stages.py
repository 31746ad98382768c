"""What pretraining leaves."""

import pytest
import torch
from torch import nn

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.pretraining.stages import require_finite


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_have_diverged_are_no_base_model(number):
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    require_finite(module)
    with torch.no_grad():
        module[0].weight[1, 0] = number
    with pytest.raises(ModelError, match=r"diverged: '0\.weight' holds NaN or Inf; lower the lr"):
        require_finite(module)
