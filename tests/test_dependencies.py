"""What is installed: all that an installation brings is pinned, and no bound lets an unsafe version in."""

import configparser
import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ingradient_pl import __version__

ROOT = Path(__file__).parents[1]
OWN = "ingradient-pl"
UNSAFE = {
    "torch": ["2.4.1", "2.5.1", "2.6.0", "2.8.0", "2.9.0", "2.9.1"],  # CVE-2025-32434, CVE-2026-24747, conv3d
    "pytorch-lightning": ["2.5.6", "2.6.2", "2.6.3"],  # malicious uploads
    "hydra-core": ["1.3.2", "1.4.0"],
    "monai": ["1.3.0", "1.5.0", "1.5.1", "1.5.2"],  # CVE-2025-58756, GHSA-89gg-p5r5-q6r4
}


def pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def requirements():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    said = [settings["options"]["install_requires"], *settings["options.extras_require"].values()]
    lines = [line.strip() for text in said for part in text.splitlines() for line in _divided(part)]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [one for one in found if canonicalize_name(one.name) != OWN]


def test_the_extra_all_brings_every_extra_but_those_of_whoever_works_on_it():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = dict(settings["options.extras_require"])
    (every,) = (Requirement(line) for line in extras.pop("all").splitlines() if line)
    assert canonicalize_name(every.name) == OWN
    assert every.extras == {*extras} - {"dev", "docs"}


def _divided(line):
    """Extras may stand on one line, where ';' divides them; on lines of their own it begins a marker."""
    return [line] if "platform" in line or line.startswith("#") else line.split(";")


def brought(name, extras=("",), seen=None):
    """Names of all packages that an installed one needs here, with those that they need."""
    seen = set() if seen is None else seen
    for extra in extras:
        if (canonicalize_name(name), extra) in seen:
            continue
        seen.add((canonicalize_name(name), extra))
        try:
            needed = map(Requirement, metadata.distribution(name).requires or [])
        except metadata.PackageNotFoundError:
            continue
        for one in needed:
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                brought(one.name, ("", *one.extras), seen)
    return {found for found, _ in seen}


def test_every_package_that_an_installation_brings_is_pinned():
    found = brought("ingradient_pl", ("", "dev", "export", "dicom")) - {"ingradient-pl"}
    assert len(found) > 60
    assert not sorted(found - set(pinned()))


def locked(*names):
    """Packages of files in locked/, with the version and the sums of each."""
    found = {}
    for name in names:
        text = (ROOT / "locked" / f"{name}.txt").read_text().replace("\\\n", " ")
        for line in filter(None, text.splitlines()):
            package, version, rest = re.fullmatch(r"([\w.-]+)==(\S+)( .*)", line).groups()
            found[canonicalize_name(package)] = (
                version,
                re.findall(r" --hash=sha256:([0-9a-f]{64})(?= |$)", rest),
            )
    return found


LOCKS = ("build", "dev", "torch", "torch-cpu", "docs")


@pytest.mark.parametrize("name", LOCKS)
def test_what_is_installed_has_sums_and_the_pinned_version(name):
    pins = pinned()
    for package, (version, sums) in locked(name).items():
        assert version.removesuffix("+cpu") == pins[package]
        assert len(sums) == len(set(sums)) > 0, package


def test_every_package_that_the_scripts_install_has_sums():
    found = brought("ingradient_pl", ("", "dev")) | {"pip", "setuptools", "wheel"}
    assert found - {OWN} <= set(locked("build", "dev", "torch"))
    assert set(locked("torch-cpu")) == {"torch"}  # CUDA's packages come with the other build alone
    assert {name for name in locked("torch") if not name.startswith(("cuda-", "nvidia-"))} == {"torch"}
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    docs = map(Requirement, settings["options.extras_require"]["docs"].split(";"))
    assert {canonicalize_name(one.name) for one in docs} <= set(locked("dev", "docs"))


def test_the_scripts_install_nothing_without_a_sum():
    said = [(ROOT / "scripts" / name).read_text() for name in ("environment", "docs")]
    lines = [line.strip() for line in "\n".join(said).splitlines() if re.search(r"\binstall .*-", line)]
    loose = [line for line in lines if "--require-hashes" not in line and "install() {" not in line]
    assert loose == [
        "install --editable ."
    ]  # of this folder, without what it needs, by what builds here already
    assert {name for name in LOCKS if f"locked/{name}.txt" in "\n".join(lines)} == set(LOCKS)


def test_what_is_pinned_is_within_its_bounds():
    pins = pinned()
    for one in requirements():
        assert pins[canonicalize_name(one.name)] in one.specifier, one


@pytest.mark.parametrize(("name", "version"), [(name, one) for name, all_ in UNSAFE.items() for one in all_])
def test_no_bound_lets_a_version_in_that_is_known_to_be_unsafe(name, version):
    (bound,) = (one for one in requirements() if canonicalize_name(one.name) == name)
    assert Version(version) not in bound.specifier


@pytest.mark.parametrize("version", ["2.10.0", "2.11.0", "2.13.0"])
def test_a_machine_with_another_torch_may_keep_it(version):
    (bound,) = (one for one in requirements() if one.name == "torch")
    assert Version(version) in bound.specifier


def test_the_build_takes_what_is_pinned():
    (line,) = re.findall(r"^requires = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for one in map(Requirement, re.findall(r'"(.*?)"', line)):
        assert str(one.specifier) == f"=={pinned()[canonicalize_name(one.name)]}"


CONDA = {"torch": "pytorch", "blosc2": "python-blosc2", "matplotlib": "matplotlib-base"}
"""Packages that conda knows by another name."""


def test_the_recipe_for_conda_asks_for_the_same():
    recipe = yaml.safe_load((ROOT / "scripts" / "containers" / "recipe.yaml").read_text())
    entries = [Requirement(line) for line in recipe["requirements"]["run"]]
    found = {canonicalize_name(one.name): one.specifier for one in entries}
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    lines = (line.strip() for line in settings["options"]["install_requires"].splitlines())
    for one in [Requirement(line) for line in lines if line and not line.startswith("#")]:
        name = canonicalize_name(one.name)
        assert found[CONDA.get(name, name)] == one.specifier, one
    assert recipe["package"]["version"] == __version__
    commands = settings["options.entry_points"]["console_scripts"].split("\n")
    assert recipe["build"]["python"]["entry_points"] == [line.strip() for line in commands if line.strip()]
