"""Federated fine-tuning as it is usually written, for `usual_way.py`.

The model as transformers' own class, a `Trainer` for each client and round, and a Flower app that
loads the base on every message.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from benchmarks.work import CPU, Tensors, Work

# isort: split
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainingArguments

from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.models.dropout import replace_dropout
from fedvlm_flwr.models.llava.plain import stock_network
from fedvlm_flwr.models.lora_linear import replace_lora
from fedvlm_flwr.models.peft_layers import Linear
from fedvlm_flwr.models.resident import load_resident
from fedvlm_flwr.models.vlm import Encoded
from fedvlm_flwr.paths import fedvlm_home

Row = tuple[Tensor, Tensor]
Item = tuple[Tensor, Tensor, Tensor]
IGNORED = -100  # a label of no loss, to transformers

app = ClientApp()


def network_of(vlm: Any) -> Any:
    """The model as transformers' own class, which computes its loss, with peft's own layers."""
    network = stock_network(vlm)
    replace_dropout(network, nn.Dropout)
    replace_lora(network, Linear)
    assert network.config.image_token_id == vlm.image_id
    return network


class Items(Dataset[Item]):
    """The examples of a client's round: a picture, ids with its places in them, and labels.

    Args:
        reading: whether a picture is opened and processed each time, or held in memory.
    """

    def __init__(self, work: Work, batches: Sequence[Sequence[Example]], reading: bool) -> None:
        self._work, self._pixels = work, pixels_of if reading else pixels_in_memory
        self._examples = [one for batch in batches for one in batch]
        vlm: Any = work.model.vlm
        self._rows = [inputs_of(vlm, row) for batch in batches for row in work.encoded(batch)]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> Item:
        return self._pixels(self._work, self._examples[i].image), *self._rows[i]


class InOrder(Trainer):
    """A Trainer that takes batches as they are drawn, not of its own shuffling."""

    sizes: Sequence[int] = ()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of the given sizes, one after the other."""

        def batches() -> Iterator[list[int]]:
            first = 0
            for size in self.sizes:
                yield list(range(first, first + size))
                first += size

        return DataLoader(
            self.train_dataset,
            batch_sampler=list(batches()),
            collate_fn=collate,
            generator=torch.Generator(),  # or it draws from the one that dropout draws from
        )


def inputs_of(vlm: Any, row: Encoded) -> Row:
    """Ids and labels of an example as transformers takes them."""
    count = vlm.prompt_facts()["image_tokens"]
    prompt = [
        token for one in row.prompt_ids for token in [one] * (count if one == vlm.image_id else 1)
    ]
    ids = torch.tensor([*prompt, *row.answer_ids])
    return ids, torch.tensor([*[IGNORED] * len(prompt), *row.answer_ids])


def collate(items: Sequence[Item]) -> dict[str, Tensor]:
    """A batch, its rows filled up to the longest."""
    pixels, ids, labels = zip(*items, strict=True)
    return {
        "pixel_values": torch.stack(pixels),
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
    }


def pixels_of(work: Work, image: Path) -> Tensor:
    """A picture's pixels as the vision tower takes them."""
    vlm: Any = work.model.vlm
    tensor: Tensor = vlm.pixels([image])[0]
    return tensor


pixels_in_memory = cache(pixels_of)


def train_client(
    work: Work, network: nn.Module, number: int, client: int, reading: bool = False
) -> float:
    """Train a client's round by a new Trainer; the mean loss. See `Items`."""
    batches, train = work.draws(number, client), work.config.train
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = work.optimizer(parameters, number)
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    arguments = TrainingArguments(
        output_dir=str(fedvlm_home() / "trainer"),  # nothing is saved there
        max_steps=len(batches),
        per_device_train_batch_size=train.batch_size,
        max_grad_norm=train.max_grad_norm or 0.0,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
        seed=work.seed(number, client) % 2**32,
    )
    trainer = InOrder(
        network,
        arguments,
        train_dataset=Items(work, batches, reading),
        optimizers=(optimizer, constant),
    )
    trainer.sizes = [len(batch) for batch in batches]
    torch.manual_seed(work.seed(number, client))
    return float(trainer.train().training_loss)


def trainable(network: nn.Module) -> Tensors:
    """The tensors that travel, by name."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


@cache
def work_of(words: str) -> Work:
    """The data of an actor's process."""
    return Work(words.split("\n"))


@app.train()
def train(message: Message, context: Context) -> Message:
    """Load the base, put the message's tensors into it, train, send them back."""
    settings = message.content["config"]
    work = work_of(str(settings["words"]))
    client, number = int(context.node_config["partition-id"]), int(settings["server-round"])
    model = load_resident(work.config, CPU)
    network = network_of(model.vlm)
    arrays: ArrayRecord = message.content["arrays"]  # type: ignore[assignment]
    network.load_state_dict(arrays.to_torch_state_dict(), strict=False)
    loss = train_client(work, network, number, client)
    content = RecordDict({"arrays": ArrayRecord(trainable(network))})
    content["metrics"] = MetricRecord({"num-examples": work.weight(client), "loss": loss})
    return Message(content, reply_to=message)
