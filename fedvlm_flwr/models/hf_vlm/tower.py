"""What a family's frozen vision tower makes of a picture, kept and put in the tower's place.

The family's own code does what lies between tower and language model: it calls the tower, and gets
what was kept. Where the connector lies inside the tower, what the connector is given is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from fedvlm_flwr.models.hf_vlm.families import Family
from fedvlm_flwr.models.hf_vlm.tensors import concatenate
from fedvlm_flwr.models.transfer import to_device
from fedvlm_flwr.models.vlm import Features

STATES, LAYER, DEEP = "tower", "tower_layer_", "tower_deep_"  # names of what is kept
PIXELS = "pixel_"  # how names of arguments begin that the tower alone reads
SHAPE = "_shape"

Output = SimpleNamespace


class Tower:
    """The frozen vision tower of one network.

    Args:
        module: the network with its head.
        family: its row; what it names as `joined` is not None.
        device: where the network lies.
    """

    def __init__(self, module: nn.Module, family: Family, device: torch.device) -> None:
        self._network: Any = module.get_submodule("model")
        self._family = family
        self._tower = module.get_submodule(family.vision)
        self._connector = module.get_submodule(family.connector)
        self._inside = family.connector.startswith(f"{family.vision}.")
        self._device = device
        self._dtype = next(self._tower.parameters()).dtype

    @torch.no_grad()
    def keep(self, row: Features) -> Features:
        """A picture's tensors with the tower's output in the place of its pixels.

        Args:
            row: as `HfInputs.encode_image` gives it.
        """
        pictures = {name: row[name] for name in self._family.pictures}
        arguments = {name: value.to(self._device) for name, value in pictures.items()}
        output = self._inner(arguments) if self._inside else self._outer(arguments)
        left = {name: value for name, value in row.items() if not name.startswith(PIXELS)}
        shapes = {
            f"{name}{SHAPE}": torch.tensor(value.shape)
            for name, value in pictures.items()
            if name.startswith(PIXELS)
        }
        return {**left, **shapes, **{name: value.to(self._dtype) for name, value in output.items()}}

    def _outer(self, arguments: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the family's code reads of the output: some of its layers, or the last states."""
        real, layers = self._tower.forward, _Layers()

        def forward(*args: Any, **kwargs: Any) -> Any:
            output = real(*args, **kwargs)
            layers.states, layers.last = output.hidden_states, output.last_hidden_state
            return Output(last_hidden_state=layers.last, hidden_states=layers)

        with _in_place_of(self._tower, forward):
            if hasattr(self._network, "get_image_features"):
                self._network.get_image_features(**arguments, return_dict=True)
            else:
                self._tower(**arguments)
        if layers.read:
            return {f"{LAYER}{i}": layers.states[i] for i in sorted(layers.read)}
        return {STATES: layers.last}

    def _inner(self, arguments: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the connector is given, group after group in the order of its results."""
        real, outputs = self._tower.forward, []
        patches = int(arguments["image_grid_thw"].prod(-1).sum())
        tower: Any = self._tower
        places = patches // tower.spatial_merge_size**2

        def forward(*args: Any, **kwargs: Any) -> Any:
            outputs.append(real(*args, **kwargs))
            return Output(
                pooler_output=outputs[0].pooler_output.flatten(1),
                deepstack_features=getattr(outputs[0], "deepstack_features", []),
            )

        def groups(states: Tensor) -> Tensor:
            return states.reshape(places, -1, states.shape[-1])

        with _in_place_of(self._connector, groups), _in_place_of(self._tower, forward):
            self._network.get_image_features(**arguments, return_dict=True)
        (output,) = outputs
        deep = getattr(output, "deepstack_features", [])
        return {STATES: output.pooler_output} | {f"{DEEP}{i}": v for i, v in enumerate(deep)}

    @contextmanager
    def replayed(self, features: Sequence[Features]) -> Iterator[dict[str, Tensor]]:
        """Have the tower give what was kept of these pictures, whatever it is given.

        Yields:
            What stands for the arguments that only the tower reads: ones in their shapes.
        """
        joined = self._family.joined
        assert joined is not None
        names = [name for name in features[0] if name.startswith(STATES)]
        values = {
            name: to_device(torch.cat([row[name] for row in features], joined), self._device)
            for name in names
        }

        def forward(*_: object, **__: object) -> Output:
            states = values.get(STATES)
            if not self._inside:
                layers = {int(n.removeprefix(LAYER)): v for n, v in values.items() if n != STATES}
                return Output(last_hidden_state=states, hidden_states=layers)
            assert states is not None
            deep = [values[name] for name in names if name != STATES]
            connected = self._connector(states.flatten(0, 1))
            return Output(pooler_output=connected, deepstack_features=deep)

        with _in_place_of(self._tower, forward):
            yield {
                name: self._ones(name, [row[f"{name}{SHAPE}"].tolist() for row in features])
                for name in self._family.pictures
                if name.startswith(PIXELS)
            }

    def _ones(self, name: str, shapes: Sequence[Sequence[int]]) -> Tensor:
        dtype = torch.bool if name.endswith("_mask") else self._dtype
        one = torch.ones((), dtype=dtype, device=self._device)
        rests = {tuple(rest) for _, *rest in shapes}
        if len(rests) == 1:  # takes no memory
            return one.expand(sum(count for count, *_ in shapes), *rests.pop())
        return concatenate([one.expand(*shape) for shape in shapes])


class _Layers:
    """The tower's layers, and which of them were read."""

    def __init__(self) -> None:
        self.states: Any = None
        self.last: Any = None
        self.read: set[int] = set()

    def __getitem__(self, i: int) -> Tensor:
        self.read.add(i)
        state: Tensor = self.states[i]
        return state


@contextmanager
def _in_place_of(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Have a module compute something else."""
    own = module.__dict__.get("forward")
    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if own is not None:
            module.__dict__["forward"] = own


def is_whole(row: Features) -> bool:
    """Whether a picture's tensors hold its pixels, and nothing of the tower's."""
    return not any(name.startswith(STATES) for name in row)
