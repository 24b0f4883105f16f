"""``ingradient phantoms``: synthetic patients with known truth, to try everything on."""

from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.cli.commands import run
from ingradient_pl.datasets.phantom import write_phantoms


def make_phantoms(output: str, cases: int = 20, channels: int = 1, seed: int = 0) -> None:
    """Write a data set of synthetic patients in nnU-Net's raw layout: an organ with a lesion in a noisy body.

    Args:
        output: Folder to write; it is made.
        cases: Patients.
        channels: Channels of each image.
        seed: Another seed, other patients.
    """
    write_phantoms(Path(output), cases, (28, 40, 40), (1.5, 1.0, 1.0), seed, channels)
    print(f"{cases} phantoms in {output}. Next: ingradient prepare --source {output} --store store")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    run(make_phantoms, arguments)
