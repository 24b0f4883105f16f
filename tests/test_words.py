"""The field's words: retired names and phrases stay out of code, configs, options and prose."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READ = ("*.py", "*.yaml", "*.md", "*.cfg", "*.toml", "*.svg")
TOLD_OF = {  # where a retired name is said to be one
    "CHANGELOG.md",
    "docs/from_monai.md",  # TorchIO's artefact
    "docs/troubleshooting.md",
    "ingradient_pl/__init__.py",
    "ingradient_pl/cli/retired_keys.py",
    "tests/test_conf.py",
    "tests/test_front_door.py",
    "tests/test_retired_names.py",
    "tests/test_words.py",
}
RETIRED = {
    r"RandomMotion|draws\.motion|\n  motion:\n": "RandomAffine, affine",
    r"RandomBend|draws\.bend|\n  bend:\n": "RandomElasticDeformation, elastic",
    r"sent_out|sent out|inference[./]outward": "preprocess",
    r"[Ww]ay home|[Ww]ay out\b|brought home|inference[./]home": "to the native grid",
    r"\bParcel\b|\bAppetite\b|\bSight\b|\bclass (Home|Room|Choice)\b": "the field's noun",
    r"ingradient_pl[./](cases|sampling|optimisers|recipes)\b": "images, draws, optimizers, spec",
    r"networks[./]outside|network=outside": "external",
    r"left_off": "position, resume_position",
    r"losses[./](sums|agreement|overlap)\b": "soft_counts, compatibility, dice",
    r"[Ww]ay from window to window": "step between windows",
    r"\b(kept|held) from training\b": "validation cases, held-out cases",
    r"(?<![Tt]here )(?<!there\n)(?<!where )\bis no (plan|store|checkpoint|network|class|YAML)\b": "is not a",
}


def tracked():
    listed = subprocess.run(["git", "ls-files", *READ], cwd=ROOT, capture_output=True, text=True, check=False)
    files = [ROOT / name for name in listed.stdout.splitlines()]
    return files or [file for pattern in READ for file in ROOT.glob(f"*/**/{pattern}")]


@pytest.mark.parametrize("pattern", RETIRED)
def test_a_retired_word_stands_nowhere(pattern):
    found = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in tracked()
        if str(file.relative_to(ROOT)) not in TOLD_OF and file.is_file()
        for match in re.finditer(pattern, file.read_text(encoding="utf-8"))
    ]
    assert not found, f"the word is now {RETIRED[pattern]}: {found[:10]}"
