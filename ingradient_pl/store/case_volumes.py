"""CaseVolumes: one more volume for each case of a store, in a folder of its own, read box by box."""

import os
import threading
from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped
from numpy.typing import NDArray

from ingradient_pl.files import BAD_ARCHIVE, replace_file, write_folder
from ingradient_pl.geometry import AXES, Box
from ingradient_pl.phrases import name_some
from ingradient_pl.plain_values import LARGEST_JSON, read_content
from ingradient_pl.store import metadata
from ingradient_pl.store.chunks import Chunks, ChunkSums, pack
from ingradient_pl.store.metadata import CASES, NUMBERS, StoreError
from ingradient_pl.store.store_union import AnyCases, locate_case

FORMAT = 1
VOLUMES, CASE, ARRAY = "volumes.json", "volume.json", "volume.b2nd"
INTEGERS, FLOATS = "integers", "floating numbers"
OPEN = 64
"""Cases whose files one process keeps open."""
SHOWN = 5
MOST_VALUES = 1000


class CaseVolumes:
    """One more volume for each case of a store: a segmentation, a weight or a distance for each voxel.

    It lies in a folder of its own, by the names of the cases, on the voxels that the store keeps of them.
    Integers are resampled as labels are when a patch is made, floating numbers linearly. The store itself is
    not written to.

    Args:
        path: The folder that :func:`write_volume` wrote into.
        store: The store of the cases, or several opened as one. Boxes are given and read on its axes.

    Raises:
        StoreError: If the folder holds no volumes, or those of a newer version.
    """

    def __init__(self, path: str | Path, store: AnyCases) -> None:
        self.path, self.store = Path(path), store
        self.kind = _read_kind(self.path)
        self._renew()

    def __repr__(self) -> str:
        return f"CaseVolumes({str(self.path)!r}: {len(self.names)} cases, {self.kind})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._renew()

    @property
    def names(self) -> list[str]:
        """Names of the cases that have a volume, sorted."""
        return list_volumes(self.path)

    def check(self, names: Iterable[str], values: Container[int] | None = None) -> None:
        """Hold the volumes of cases against the store; no voxel is read.

        Args:
            names: Cases of the store that are to be read.
            values: Integers that may stand in them; None allows all.

        Raises:
            StoreError: If a case has none, one that was written for other voxels, or other integers.
        """
        wanted = list(names)
        missing = sorted(set(wanted) - set(self.names))
        if missing:
            raise StoreError(
                f"{self.path} holds no volume for {len(missing)} of {len(wanted)} cases: "
                f"{name_some(missing)}. Write one for each case that trains or validates."
            )
        for name in wanted:
            described = _read_description(self.path, name)
            self._check_case(name, described)
            strange = [] if values is None else [one for one in described["values"] if one not in values]
            if strange:
                raise StoreError(
                    f"{self.path}: the volume of '{name}' holds {strange[:SHOWN]}, which no label of the "
                    "task has. Was it made for another task?"
                )

    def read(self, name: str, box: Box) -> Num[np.ndarray, "_ _ _"]:
        """Read a box of a case's volume.

        Args:
            name: Of the case.
            box: Voxels of ``store.cases[name].grid``; it must lie inside.

        Returns:
            The voxels, axes (z, y, x) as the store was opened.

        Raises:
            StoreError: If there is none, the box leaves it, or a file is damaged.
        """
        if box.clipped(self.store.cases[name].grid.shape) != box or not box.voxels:
            raise StoreError(f"Case '{name}': {box} leaves its grid of {self.store.cases[name].grid.shape}.")
        back = np.argsort(self.store.transpose).tolist()
        try:
            part = self._open_volume(name).read(box.transposed(back).slices)
        except (OSError, RuntimeError, ValueError) as error:
            raise _describe_damage(self.path, name, error) from error
        return part.transpose(self.store.transpose)

    def _renew(self) -> None:
        self._process, self._lock = os.getpid(), threading.RLock()
        self._open: OrderedDict[str, Chunks] = OrderedDict()

    def _open_volume(self, name: str) -> Chunks:
        if self._process != os.getpid():
            self._renew()  # after a fork handles and locks are the parent's
        with self._lock:
            if name not in self._open:
                described = _read_description(self.path, name)
                self._check_case(name, described)
                seal = ChunkSums(int(described["bytes"]), np.array(described["sums"], np.uint32))
                self._open[name] = Chunks(self.path / CASES / name / ARRAY, seal)
                if len(self._open) > OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(name)
            return self._open[name]

    def _check_case(self, name: str, described: Mapping[str, Any]) -> None:
        turned = self.store.cases[name].grid.shape
        shape = tuple(turned[axis] for axis in np.argsort(self.store.transpose))
        if tuple(described["shape"]) != shape:
            raise StoreError(
                f"{self.path}: the volume of '{name}' has {tuple(described['shape'])} voxels, the case "
                f"{shape}. It was written for another data set, or before the case was prepared again: write "
                "it anew."
            )
        if described["case"] != sum_image(self.store, name):
            raise StoreError(
                f"{self.path}: the volume of '{name}' was written for another image of that name. Write it "
                "anew for the store as it is."
            )


def write_volume(path: str | Path, store: AnyCases, name: str, volume: Shaped[np.ndarray, "_ _ _"]) -> None:
    """Write the volume of a case; it appears whole or not at all, in the place of an older one.

    Args:
        path: Folder of the volumes; it is made.
        store: The store that the case is in, or several as one (``open_stores``): ``name`` is CASE@STORE.
        name: Of the case.
        volume: Axes (z, y, x) of the store: either on every voxel of the case's file, as predictions are, or
            on those that the store keeps (``store.cases[name].grid``). Integers are resampled as labels
            are; floating numbers, kept with 32 bits, linearly.

    Raises:
        StoreError: If there is no such case, the volume has other voxels or numbers that are not finite, or
            the folder holds volumes of the other kind.
    """
    folder, part = Path(path), cut_to_stored(store, name, volume)
    voxels = _as_kept(name, part).transpose(np.argsort(store.transpose).tolist())
    kind = FLOATS if voxels.dtype.kind == "f" else INTEGERS
    if not (folder / VOLUMES).is_file():
        plain = {"volumes_format": FORMAT, "kind": kind}
        replace_file(folder / VOLUMES, metadata.encode(plain))
        (folder / CASES).mkdir(exist_ok=True)
    held = _read_kind(folder)
    if held != kind:
        raise StoreError(f"{folder} holds volumes of {held}; that of '{name}' holds {kind}.")
    packed = pack(np.ascontiguousarray(voxels), plain=kind == INTEGERS)
    described = {
        "shape": list(voxels.shape),
        "case": sum_image(store, name),
        "bytes": len(packed.content),
        "sums": packed.sums.tolist(),
        "values": _list_values(voxels),
    }
    write_folder(folder / CASES / name, {ARRAY: packed.content, CASE: metadata.encode(described)})


def list_volumes(path: Path) -> list[str]:
    """Give the names of the cases that have a volume in a folder, sorted.

    Args:
        path: Folder of the volumes.
    """
    folder = path / CASES
    if not folder.is_dir():
        return []
    return sorted(
        entry.name for entry in folder.iterdir() if (entry / CASE).is_file() and entry.name[0] != "."
    )


def sum_image(store: AnyCases, name: str) -> int:
    """Give a check sum of where a stored image lies and what it holds.

    Args:
        store: The store.
        name: Of the case.

    Raises:
        StoreError: If there is no such case, or it is damaged.
    """
    described = store.describe(name)
    folder, case, _ = locate_case(store, name)
    file = folder / CASES / case / NUMBERS
    try:
        with metadata.read_numbers(file) as numbers:
            sums = numbers["image_sums"].tolist()
    except (OSError, ValueError, KeyError, *BAD_ARCHIVE) as error:
        raise StoreError(
            f"Case '{name}': {file} cannot be read ({error}). {metadata.describe_cure(error, file.parent)}"
        ) from error
    where = {key: described[key] for key in ("shape", "start", "spacing")}
    return metadata.sum_plain({**where, "image": sums})


def cut_to_stored(store: AnyCases, name: str, volume: NDArray[Any]) -> NDArray[Any]:
    """Give the part of a volume that the store keeps of the case.

    Args:
        store: With the case.
        name: Of the case.
        volume: On every voxel of the case's file, or on those that the store keeps, axes (z, y, x).

    Raises:
        StoreError: If there is no such case, or the volume has other voxels.
    """
    store.describe(name)  # whether there is such a case
    case = store.cases[name]
    if volume.shape == case.grid.shape:
        return volume
    if volume.shape != case.native.shape:
        raise StoreError(
            f"The volume of '{name}' has {volume.shape} voxels (z, y, x); its image has {case.native.shape}, "
            f"of which the store keeps {case.grid.shape}. Bring it to one of these grids."
        )
    cut = tuple(slice(first, first + count) for first, count in zip(case.start, case.grid.shape, strict=True))
    return volume[cut]


def _as_kept(name: str, volume: NDArray[Any]) -> NDArray[Any]:
    """Give a volume in the type that is stored: the smallest integers that hold it, or 32 bit floats."""
    if volume.dtype.kind not in "biuf" or volume.ndim != AXES:
        raise StoreError(f"The volume of '{name}' holds {volume.dtype}; it takes integers or floats.")
    if volume.dtype.kind == "f":
        if not np.isfinite(volume).all():
            raise StoreError(f"The volume of '{name}' holds numbers that are not finite.")
        return volume.astype(np.float32)
    least, most = int(volume.min()), int(volume.max())
    types = (np.uint8, np.int16, np.int32)
    fitting = [one for one in types if np.iinfo(one).min <= least and most <= np.iinfo(one).max]
    if not fitting:
        raise StoreError(f"The volume of '{name}' holds {least} to {most}; it takes 32 bit integers.")
    return volume.astype(fitting[0])


def _list_values(volume: NDArray[Any]) -> list[int]:
    """Give which integers a volume holds, ascending; the first of them where they are very many."""
    return [] if volume.dtype.kind == "f" else np.unique(volume)[:MOST_VALUES].tolist()


def _read_kind(path: Path) -> str:
    """Read which kind of volumes a folder holds."""
    plain = _read_json(path / VOLUMES, f"{path} holds no volumes of cases")
    if plain.get("volumes_format") != FORMAT or plain.get("kind") not in (INTEGERS, FLOATS):
        raise StoreError(
            f"{path} has volumes of format {plain.get('volumes_format')}; this version reads {FORMAT}. "
            "Update ingradient_pl, or write them with this version."
        )
    return str(plain["kind"])


def _read_description(path: Path, name: str) -> dict[str, Any]:
    return _read_json(path / CASES / name / CASE, f"{path}: the volume of '{name}' cannot be used")


def _read_json(file: Path, what: str) -> dict[str, Any]:
    try:
        return metadata.decode(read_content(file, LARGEST_JSON))
    except FileNotFoundError as error:
        raise StoreError(f"{what}: {file} is missing. ingradient_pl.write_volume writes them.") from error
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise StoreError(f"{what}: {file} cannot be read ({error}). Write it anew.") from error


def _describe_damage(path: Path, name: str, error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    file = path / CASES / name / ARRAY
    return StoreError(f"Case '{name}': {file} cannot be read ({error}). Write the volume anew.")
