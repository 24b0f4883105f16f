"""``ingradient phantoms``: synthetic patients with known truth, to try everything on."""

import shlex
from pathlib import Path

from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.phantom_files import WRITTEN_BY, write_phantoms
from ingradient_pl.files import check_can_be_folder
from ingradient_pl.messages import LARGEST_SEED, UsageError, check_range, say
from ingradient_pl.phrases import say_count

MOST_CASES, MOST_CHANNELS = 100_000, 100


def phantoms(output: AnyPath, cases: int = 20, channels: int = 1, seed: int = 0) -> Path:
    """Write a data set of synthetic patients in nnU-Net's raw layout: an organ with a lesion in a noisy body.

    Args:
        output: Folder to write; made if it does not exist.
        cases: Patients.
        channels: Channels of each image.
        seed: Another seed, other patients.

    Returns:
        The folder.

    Raises:
        UsageError: If the folder holds a data set that is not of phantoms, or the number is out of range.
        NotADirectoryError: If it is a file.
    """
    check_range("cases", cases, 1, MOST_CASES)
    check_range("channels", channels, 1, MOST_CHANNELS)
    check_range("seed", seed, 0, LARGEST_SEED)
    check_can_be_folder(Path(output), "cases")
    held = Path(output) / DESCRIPTION
    if held.is_file() and WRITTEN_BY not in held.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(
            f"{output} holds a data set ({held}), which would be written over. Name another folder."
        )
    write_phantoms(Path(output), cases, (28, 40, 40), (1.5, 1.0, 1.0), seed, channels)
    typed = shlex.quote(str(output))
    say(f"{say_count(cases, 'phantom')} in {output}. Next: ingradient prepare --source {typed} --store store")
    return Path(output)
