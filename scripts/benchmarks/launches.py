"""Kernels, copies, waits and bytes of a training step on a GPU, counted without one for four plans."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from figure import Figure
from hydra.utils import instantiate
from launch_counter import LaunchCounter, counted
from training_plans import SETTINGS, Setting, build_data, make_config, random_input, to_device

META = torch.device("meta")
SEEN = 4
"""Batches of which the most expensive is told."""
BARS = {"prepare, augment": 80, "loss": 16, "optimiser": 40, "forward, backward": 160}
"""Most kernels of each part for Hippocampus; preparing has the same bar for every plan."""
HIPPOCAMPUS = "hippocampus 7 x 40x56x40"
RESAMPLED = "2 x 128 cubed, resampled"
AGAINST = "counted on the meta device"


def figures() -> list[Figure]:
    rows: dict[str, dict[str, LaunchCounter]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, setting) in enumerate(SETTINGS.items()):
            config = make_config(Path(folder) / str(number), setting, ["data.workers=0"])
            rows[name] = {"prepare, augment": _batch(config), **_step(config, setting)}
            _print(name, rows[name])
    out = []
    for name, parts in rows.items():
        for part, counter in parts.items():
            if name == HIPPOCAMPUS or part == "prepare, augment":
                out.append(
                    Figure(f"launches [{name}] {part}", counter.launches, "kernels", AGAINST, BARS[part])
                )
        waits = sum(sum(counter.waits.values()) for counter in parts.values())
        out.append(Figure(f"copies [{name}]", parts["prepare, augment"].copies, "a batch", AGAINST, 1))
        out.append(Figure(f"waits [{name}]", waits, "a step", AGAINST, 0))
    moved = rows[RESAMPLED]["prepare, augment"].bytes / 1e9
    return [*out, Figure("bytes to prepare and augment 2 x 128 cubed, resampled", moved, "GB", AGAINST, 2.5)]


def _batch(config: Any) -> LaunchCounter:
    """Count what the most expensive of a few batches costs from the host's memory to the network's input."""
    data = build_data(config)
    loader = data.train_dataloader()
    seen = []
    for batch, _ in zip(loader, range(SEEN), strict=False):
        with counted() as counter:
            to_device(data, batch, META)
        seen.append(counter)
    return max(seen, key=lambda counter: counter.launches)


def _step(config: Any, setting: Setting) -> dict[str, LaunchCounter]:
    """Count the passes, the loss and the optimiser of one step."""
    module = instantiate(config.module).to(META)
    image, label = random_input(setting.plan, META)
    optimiser = instantiate(config.module.optimizer)(module.network.parameters())
    pyramid, forward = _count(lambda: module.network(image))
    leaves = [level.detach().requires_grad_() for level in pyramid]
    _, loss = _count(lambda: module.loss(leaves, label).backward())
    _, backward = _count(lambda: torch.autograd.backward(list(pyramid), [leaf.grad for leaf in leaves]))
    forward.kernels.update(backward.kernels)
    optimiser.step()  # the first one makes its state
    _, update = _count(optimiser.step)
    return {"forward, backward": forward, "loss": loss, "optimiser": update}


def _count(call: Callable[[], Any]) -> tuple[Any, LaunchCounter]:
    with counted() as counter:
        answer = call()
    return answer, counter


def _print(name: str, parts: dict[str, LaunchCounter]) -> None:
    print(f"\n{name:<30}{'kernels':>9}{'copies':>8}{'waits':>7}{'GB':>8}   most")
    for part, counter in parts.items():
        most = ", ".join(
            f"{key.removeprefix('aten::')} {count}" for key, count in counter.kernels.most_common(5)
        )
        waits = sum(counter.waits.values())
        numbers = f"{counter.launches:>9}{counter.copies:>8}{waits:>7}{counter.bytes / 1e9:>8.2f}"
        print(f"  {part:<28}{numbers}   {most}")
