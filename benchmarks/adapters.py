"""One server step of a rule for adapters at full size: seconds and memory, no weights of a model.

    python benchmarks/adapters.py [--rules flexlora flora ...]
        [--model llava_clip_llama32_3b] [--clients 10] [--rank 8]

The adapters have the shapes of the model's (from its configuration, without weights) and random
numbers. Each rule runs in a process of its own. `step` is the server's step alone, `take` the
taking in of the replies; `peak` is the process's resident memory beyond what it had with the
clients' replies made, one at a time.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

from fedvlm_flwr.adapters import is_factor
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import compose
from fedvlm_flwr.planning.counting import adapted_skeleton, trained_shapes
from strategies import load_strategy
from strategies.core.federation import Federation

RULES = ("fedit", "hetlora", "flexlora", "lora_fair", "fedex_lora", "flora")


def measure(rule: str, model: str, clients: int, rank: int) -> None:
    """One round; prints its numbers."""
    config = compose(
        {"overrides": f"model={model} tuning=f_l algorithm={rule} tuning.lora.r={rank}"}
    )
    shapes = trained_shapes(adapted_skeleton(config), config.tuning.stages[0])
    draw = np.random.default_rng(0)

    def factors() -> Arrays:
        return {
            n: draw.standard_normal(s, np.float32) * np.float32(0.01) for n, s in shapes.items()
        }

    strategy = load_strategy(config.algorithm, Federation(clients))
    strategy.begin(factors())
    strategy.begin_round()
    strategy.rule.begin_round(strategy.state)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took = 0.0
    for client in range(clients):
        reply = factors()
        began = time.process_time()
        if strategy.rule.combines:
            strategy.rule.accumulate(client, reply, 1.0 + client)
        else:
            strategy.mean.add(reply, 1.0 + client)
        took += time.process_time() - began
    began, wall = time.process_time(), time.monotonic()
    if strategy.rule.combines:
        strategy.rule.step(strategy.state, 1, strategy.state.arrays)
    else:
        strategy.mean.result()
    step, wall = time.process_time() - began, time.monotonic() - wall
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024
    numbers = sum(int(np.prod(s)) for n, s in shapes.items() if is_factor(n)) / 1e6
    print(f"{numbers:.1f} {took:.1f} {step:.1f} {wall:.1f} {peak:.0f}")


def main() -> None:
    """Measure each rule in a fresh process and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", nargs="+", default=RULES)
    parser.add_argument("--model", default="llava_clip_llama32_3b")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--one", help="measure one rule in this process")
    options = parser.parse_args()
    if options.one:
        measure(options.one, options.model, options.clients, options.rank)
        return
    print(f"{options.model}, rank {options.rank}, {options.clients} clients")
    print("rule        numbers (M)  take CPU s  step CPU s  step s  peak MB")
    words = ["--model", options.model, "--clients", str(options.clients)]
    words += ["--rank", str(options.rank)]
    for rule in options.rules:
        command = [sys.executable, __file__, "--one", rule, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        numbers, took, step, wall, peak = done.stdout.split()[-5:]
        print(f"{rule:11s} {numbers:>11s} {took:>11s} {step:>11s} {wall:>7s} {peak:>8s}")


if __name__ == "__main__":
    main()
