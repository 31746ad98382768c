"""Local training: one client's federation is a plain training loop, and the loop's own rules."""

from itertools import chain

import numpy as np
import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.numpy import load_file

from client_app.local import batches, draw, train_locally
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import compose
from fedvlm_flwr.models import load_model
from fedvlm_flwr.models.dropout import replace_dropout
from fedvlm_flwr.models.parts import read
from fedvlm_flwr.process import this_process
from fedvlm_flwr.schedule import steps_of
from fedvlm_flwr.seeding import stream, torch_seed
from strategies.core.client_hook import ClientHook, RoundInput, gradient
from strategies.feddyn import DynamicRegularizer, Params

ONE_CLIENT = ("num_clients=1", "num_rounds=2", "train.lr=2e-3", "eval.every=2", "seed=5")


def plain_loop(config, vlm) -> dict[str, np.ndarray]:
    """Two rounds of AdamW on the pooled data, with none of the project's training code."""
    llm = vlm.module.get_submodule("model.language_model")
    torch.manual_seed(torch_seed(config.seed, "lora"))
    inject_adapter_in_model(
        LoraConfig(r=8, lora_alpha=32, lora_dropout=0.05, target_modules=list(vlm.lora_targets)),
        llm,
    )
    replace_dropout(llm)  # or others would be dropped
    connector = vlm.module.get_submodule("model.multi_modal_projector")
    vlm.module.requires_grad_(False)
    connector.requires_grad_(True)
    for name, parameter in llm.named_parameters():
        parameter.requires_grad_("lora_" in name)
    trained = [p for p in vlm.module.parameters() if p.requires_grad]
    examples = this_process().examples_of(config, 0)
    images = list(dict.fromkeys(example.images[0] for example in examples))
    seen = dict(zip(images, vlm.features(images), strict=True))
    for number, lr in ((1, 2e-3), (2, 1e-6 + 0.5 * (2e-3 - 1e-6))):  # cosine over two rounds
        torch.manual_seed(torch_seed(5, "dropout", 0, number, 0))
        order = stream(5, "batches", 0, number, 0).permutation(len(examples))
        optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
        vlm.module.train()
        for step in range(3):
            batch = [examples[i] for i in order[8 * step : 8 * step + 8]]
            features = [seen[example.images[0]] for example in batch]
            loss = vlm.loss(features, [vlm.encode(e.question, e.answer) for e in batch])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
    found = {f"connector.{n}": p for n, p in connector.named_parameters()}
    found |= {
        f"llm.{n.replace('.default.weight', '')}": p
        for n, p in llm.named_parameters()
        if "lora_" in n
    }
    return {name: parameter.detach().numpy() for name, parameter in found.items()}


def test_one_client_federated_equals_a_plain_training_loop(start, small):
    folder = start(*ONE_CLIENT)
    saved = load_file(folder.path / "checkpoints" / "stage_0_round_0002.safetensors")
    federated = {name.removeprefix("shared/"): values for name, values in saved.items()}
    config = compose({"overrides": " ".join([*small, *ONE_CLIENT])})
    torch.set_num_threads(1)
    choice = config.model
    vlm = load_model(choice, torch.device("cpu"))
    plain = plain_loop(config, vlm)
    assert set(plain) == set(federated)
    # AdamW divides by the gradient's size, so that one whose last bit depends on where its memory
    # lies can move a weight by a visible share of the rate (2e-3); all others agree to rounding.
    far, count = 0, 0
    for name, values in plain.items():
        np.testing.assert_allclose(federated[name], values, rtol=0, atol=2e-4, err_msg=name)
        far += int((np.abs(federated[name] - values) > 1e-6).sum())
        count += values.size
    assert far < count / 1000
    assert any(np.abs(v).max() > 1e-4 for n, v in federated.items() if n.endswith("lora_B"))


def settings(**changes):
    overrides = {"train.local_epochs": "1", "train.local_steps": "null", **changes}
    return compose({"overrides": " ".join(f"{k}={v}" for k, v in overrides.items())}).train


def test_an_epoch_is_every_example_once_in_steps_of_the_batch():
    chosen = settings(**{"train.batch_size": 8})
    assert steps_of(chosen, 20) == 3  # 8 + 8 + 4
    picks = batches(20, chosen, np.random.default_rng(0))
    first = [next(picks) for _ in range(3)]
    assert [len(pick) for pick in first] == [8, 8, 4]
    assert sorted(chain.from_iterable(first)) == list(range(20))


def test_accumulation_divides_the_steps_of_an_epoch():
    chosen = settings(**{"train.batch_size": 4, "train.accumulation": 2})
    assert steps_of(chosen, 20) == 3  # ceil(20 / 8)


def test_local_steps_go_on_into_another_pass():
    chosen = settings(**{"train.local_epochs": "null", "train.local_steps": 5})
    assert steps_of(chosen, 20) == 5
    picks = batches(40, chosen, np.random.default_rng(0))
    seen = chain.from_iterable(next(picks) for _ in range(4))
    assert sorted(seen) == sorted([*range(40), *range(40)])


def test_each_round_draws_another_order():
    one = next(batches(50, settings(), stream(0, "batches", 0, 1, 3)))
    two = next(batches(50, settings(), stream(0, "batches", 0, 2, 3)))
    assert one != two


def test_sgd_and_accumulation_train(start):
    folder = start("train.optimizer=sgd", "train.accumulation=2", "train.lr=0.1", "num_clients=1")
    losses = [
        line["value"]
        for line in folder.lines("metrics.jsonl")
        if line["where"] == "server" and line["metric"] == "loss"
    ]
    assert losses[1] < losses[0]


@pytest.fixture
def one_step(small):
    """How one step of SGD moves the small model's trained tensors, clipped to 0.01."""
    overrides = "train.optimizer=sgd train.max_grad_norm=0.01 train.accumulation=1"
    config = compose({"overrides": f"{' '.join(small)} {overrides}"})
    model = this_process().model(config, torch.device("cpu"))
    examples = this_process().examples_of(config, 0)

    def run(hook: ClientHook, kept: Arrays | None = None) -> Arrays:
        start = model.initial[0]
        parameters = model.place(0, start, {})
        torch.manual_seed(0)
        hook.on_start(parameters, RoundInput(start, {}, kept or {}))
        picks = draw(len(examples), config.train, 1, np.random.default_rng(0))
        drawn = [[examples[i] for i in pick] for pick in picks]
        train_locally(model, parameters, drawn, config.train, 1.0, hook)
        return {name: values - start[name] for name, values in read(parameters).items()}

    return run


def length(arrays: Arrays) -> float:
    return float(np.sqrt(sum(float(np.square(v, dtype=np.float64).sum()) for v in arrays.values())))


def test_feddyns_terms_are_not_clipped_with_the_gradient(one_step):
    """From w_t the terms are -h_k alone: a step of the clipped gradient, and one of h_k."""
    plain = one_step(ClientHook(None))
    assert length(plain) == pytest.approx(0.01, rel=1e-3)
    h = {name: np.full_like(values, 0.5) for name, values in plain.items()}
    moved = one_step(DynamicRegularizer(Params(1.0)), h)
    for name, values in plain.items():
        np.testing.assert_allclose(moved[name], values + 0.5, atol=1e-6, err_msg=name)


def test_what_other_hooks_add_is_clipped_as_ever(one_step):
    """The proximal term's place: a constant there ends in a step of 0.01."""

    class Constant(ClientHook):
        def on_gradients(self, parameters):
            for parameter in parameters.values():
                gradient(parameter).add_(0.5)

    assert length(one_step(Constant(None))) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_bfloat16_on_a_gpu_trains(start):
    folder = start("engine.device=cuda", "train.precision=bfloat16")
    assert folder.cost()["seconds"]["local_training"] > 0
