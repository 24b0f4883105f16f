"""What a file is that stands where a checkpoint is wanted, as far as its name tells."""

from pathlib import Path

from ingradient_pl.images.formats import ENDINGS

KINDS = {
    (".yaml", ".yml"): "a YAML file, as plans are",
    (".json",): "a JSON file",
    tuple(ENDINGS): "an image",
    (".csv", ".tsv", ".txt", ".log", ".md", ".py"): "a text file",
}
"""Endings of names, and what ends so."""


def name_kind(path: Path) -> str | None:
    """Say what a file or folder is that cannot be a checkpoint; None where its name does not tell.

    Args:
        path: Of what was named.

    >>> name_kind(Path("plan.yaml")), name_kind(Path("scan.nii.gz")), name_kind(Path("last.ckpt"))
    ('a YAML file, as plans are', 'an image', None)
    """
    if path.is_dir():
        return "a folder"
    name = path.name.lower()
    return next((kind for endings, kind in KINDS.items() if name.endswith(endings)), None)
