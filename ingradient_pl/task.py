"""What is segmented and from what: the channels, the labels and their meaning, as ``dataset.json`` tells."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ingradient_pl.messages import check_letters
from ingradient_pl.short_repr import short_repr

BACKGROUND = 0
LARGEST_UINT8 = 255
UNMASKED = ("background", "ignore")
"""Names that are no outputs."""


@dataclass(frozen=True)
class Task:
    """Channels in, labels out.

    Args:
        channels: Name of each channel, in the order of the image's first axis.
        labels: Name to integer, or to several integers where the label is a region (their union).
            ``background`` is 0; a label named ``ignore`` marks voxels that nobody annotated.
        regions_class_order: For regions: the integer each one is written as, in the order of ``labels``
            without background and ignore; later ones overwrite earlier ones.
        name: Name of the data set.
        file_ending: Ending of the image files, with the dot: predictions are written with it.
        notes: Whatever else the source told (licence, reference, ...), kept as it was.
        integers: Where labels were numbered anew (:meth:`consecutive`): what each number is in files.
        overlap: Where labels may overlap: how label files hold each one (``file``, a pattern of their names;
            ``channel``; ``value``). ``labels`` then gives the integers of the combinations that hold it.

    Raises:
        ValueError: If a channel or foreground label is lacking, a label is no integer >= 0, or a name is odd.
    """

    channels: tuple[str, ...]
    labels: Mapping[str, int | tuple[int, ...]]
    regions_class_order: tuple[int, ...] | None = None
    name: str = ""
    file_ending: str = ".nii.gz"
    notes: Mapping[str, object] = field(default_factory=dict)
    integers: tuple[int, ...] | None = None
    overlap: Mapping[str, Mapping[str, object]] | None = None

    def __post_init__(self) -> None:
        for listed in ("channels", "regions_class_order", "integers"):  # YAML and JSON know lists only
            if getattr(self, listed) is not None:
                object.__setattr__(self, listed, tuple(getattr(self, listed)))
        labels = {name: tuple(v) if isinstance(v, (list, tuple)) else v for name, v in self.labels.items()}
        object.__setattr__(self, "labels", labels)
        if not self.has_regions:  # else a list of one is a region: nnU-Net's scores call it (2,)
            plain = {name: v[0] if isinstance(v, tuple) and len(v) == 1 else v for name, v in labels.items()}
            object.__setattr__(self, "labels", plain)
        if self.overlap is not None:
            plain = {name: v if name in UNMASKED else _integers(v) for name, v in labels.items()}
            object.__setattr__(self, "labels", plain)
        if not self.channels or not any(name not in UNMASKED for name in labels):
            raise ValueError(
                f"A task needs a channel and a foreground label; got channels={list(self.channels)}, "
                f"labels={labels}. Name them in dataset.json under 'channel_names' and 'labels'."
            )
        check_letters("channel or label", (*self.channels, *labels))
        wrong = {name: v for name, v in labels.items() if not all(_is_label(one) for one in _integers(v))}
        if wrong:
            raise ValueError(f"Labels must be integers >= 0, or lists of them for regions; got {wrong}.")

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def described(self) -> dict[str, object]:
        """The task in the words of nnU-Net's ``dataset.json``, with the integers of files."""
        order, labels = self.in_files.regions_class_order, self.in_files.labels
        told = {name: list(v) if isinstance(v, tuple) else v for name, v in labels.items()}
        return {
            "name": self.name,
            "channel_names": {str(i): channel for i, channel in enumerate(self.channels)},
            "labels": told if self.overlap is None else {n: dict(held) for n, held in self.overlap.items()},
            **({} if order is None else {"regions_class_order": list(order)}),
            "file_ending": self.file_ending,
            **self.notes,
        }

    @property
    def ignore(self) -> int | None:
        """The integer of voxels that nobody annotated; None where there is none."""
        ignored = _integers(self.labels.get("ignore", ()))
        return ignored[0] if len(ignored) == 1 else None

    @property
    def has_regions(self) -> bool:
        """Whether a label is a union of integers; the network then answers yes or no for each region."""
        return self.overlap is not None or any(
            isinstance(value, tuple) and len(value) > 1 for value in self.labels.values()
        )

    @property
    def values(self) -> tuple[int, ...]:
        """Every integer that a label file may hold, ascending, background and ignore included."""
        named = {one for value in self.labels.values() for one in _integers(value)}
        return tuple(sorted(named | {BACKGROUND}))

    @property
    def foreground(self) -> dict[str, tuple[int, ...]]:
        """The integers of each foreground label or region, by name, in the order of ``labels``."""
        named = {name: _integers(value) for name, value in self.labels.items() if name != "ignore"}
        return {
            name: value for name, value in named.items() if value != (BACKGROUND,) and name != "background"
        }

    @property
    def foreground_values(self) -> tuple[int, ...]:
        """Every integer that an answer may hold beside the background, ascending."""
        return tuple(value for value in self.values if value not in (BACKGROUND, self.ignore))

    @property
    def regions(self) -> tuple[tuple[int, ...], ...] | None:
        """The integers of each of the network's outputs where those are regions; None where they are not."""
        return tuple(self.foreground.values()) if self.has_regions else None

    @property
    def combinations(self) -> dict[int, tuple[int, ...]]:
        """The labels that lie in a voxel of each foreground integer: their numbers, from 1, ascending.

        >>> Task(("MR",), {"whole": (1, 3), "core": (2, 3)}, overlap={}).combinations
        {1: (1,), 2: (2,), 3: (1, 2)}
        """
        held = list(self.foreground.values())
        return {
            value: tuple(number for number, values in enumerate(held, 1) if value in values)
            for value in self.foreground_values
        }

    @property
    def outputs(self) -> int:
        """Logits per voxel: one per region, or one per label value with the background first."""
        if self.has_regions:
            return len(self.foreground)
        return len(self._classes)

    @property
    def output_names(self) -> list[str]:
        """Name of each of the network's outputs, in their order; a number where an integer has no name."""
        if self.has_regions:
            return list(self.foreground)
        named = {value: name for name, value in self.labels.items()}
        return [named.get(value, str(value)) for value in self._classes]

    def known_outputs(self, annotated: Collection[str] | None) -> tuple[bool, ...]:
        """Give for each of the network's outputs whether a case that annotates some labels tells where it is.

        The background always is known: it then stands for itself and all labels that were not annotated.

        Args:
            annotated: Names of labels; None for all of them.

        >>> Task(("MR",), {"background": 0, "left": 1, "right": 2}).known_outputs(["right"])
        (True, False, True)
        """
        if annotated is None:
            return (True,) * self.outputs
        told = tuple(name in annotated for name in self.output_names)
        return told if self.has_regions else (True, *told[1:])

    def check_annotated(self, annotated: Collection[str]) -> None:
        """Refuse names of annotated labels that are none of the task's.

        Args:
            annotated: Names that a case says were annotated.

        Raises:
            ValueError: If one is not a foreground label, or there is none.
        """
        unknown = [name for name in annotated if name not in self.foreground]
        if unknown:
            raise ValueError(
                f"it says that {', '.join(map(repr, unknown))} was annotated, which is no label of the task "
                f"({', '.join(self.foreground)}). Correct the name"
            )
        if not annotated:
            raise ValueError(
                "it says that no label was annotated. Leave its label out, or name what was annotated"
            )

    @property
    def written(self) -> tuple[int, ...]:
        """The integer of files that each of the network's outputs is written as, in their order.

        Raises:
            ValueError: If the labels are regions and ``regions_class_order`` does not say it for each.
        """
        if self.overlap is not None:  # a file holds masks, whose numbers these are
            return tuple(range(1, self.outputs + 1))
        order = self.regions_class_order if self.has_regions else self._classes
        if order is None or len(order) != self.outputs:
            raise ValueError(
                "A task with regions needs 'regions_class_order': the integer that each of its "
                f"{self.outputs} regions ({', '.join(self.foreground)}) is written as; got {order}."
            )
        return tuple(self._in_files(value) for value in order)

    @property
    def in_files(self) -> "Task":
        """The same task with the integers that its files hold."""
        return self if self.integers is None else self._renumber(self._in_files, None)

    def consecutive(self) -> "Task":
        """Number the labels 0, 1, 2, ... as the network's outputs; ``integers`` keeps what files hold.

        A task whose labels are numbered so already is given back, wherever below 256 its ignore label is.

        >>> Task(("MR",), {"background": 0, "left": 1001, "right": 2035}).consecutive().labels
        {'background': 0, 'left': 1, 'right': 2}
        """
        near = self.ignore is None or self.ignore <= max(len(self._classes), LARGEST_UINT8)
        if (
            self.integers is not None
            or self.overlap is not None
            or (near and self._classes == tuple(range(len(self._classes))))
        ):
            return self
        integers = self._classes if self.ignore is None else (*self._classes, self.ignore)
        number = {value: at for at, value in enumerate(integers)}
        return self._renumber(lambda value: number.get(value, value), integers)

    def check_meaning(self) -> None:
        """Refuse labels that cannot mean what they say, before anything is made of them.

        Raises:
            ValueError: If background is not 0, two labels are one integer, the ignore label is a region or
                part of one, or what regions are written as does not tell them apart again.
        """
        wrong = [*_wrong_labels(self)]
        if self.has_regions and self.overlap is None and not wrong:
            wrong += _wrong_order(self.in_files, self.written)
        if wrong:
            raise ValueError(f"{'; '.join(wrong)}. Correct where they are written (dataset.json).")

    @property
    def _classes(self) -> tuple[int, ...]:
        """Every integer but the ignore label's, background first."""
        return tuple(value for value in self.values if value != self.ignore)

    def _in_files(self, value: int) -> int:
        return value if self.integers is None or value >= len(self.integers) else self.integers[value]

    def _renumber(self, number: Callable[[int], int], integers: tuple[int, ...] | None) -> "Task":
        order = self.regions_class_order
        labels = {
            name: tuple(map(number, value)) if isinstance(value, tuple) else number(value)
            for name, value in self.labels.items()
        }
        order = None if order is None else tuple(map(number, order))
        return replace(self, labels=labels, regions_class_order=order, integers=integers)


def _wrong_labels(task: Task) -> Iterator[str]:
    """Say which labels contradict each other."""
    if _integers(task.labels.get("background", BACKGROUND)) != (BACKGROUND,):
        yield f"label 'background' is {task.labels['background']}; it must be 0"
    if "ignore" in task.labels and task.ignore in (None, BACKGROUND):
        yield f"label 'ignore' is {task.labels['ignore']}; it must be one integer above 0"
    for name, values in task.foreground.items():
        for value in {BACKGROUND, task.ignore} & {*values}:
            yield f"label '{name}' holds {value}, which is '{'ignore' if value else 'background'}'"
    if not task.has_regions:
        yield from _twins(task)


def _twins(task: Task) -> Iterator[str]:
    """Say which labels are one integer."""
    names: dict[int, list[str]] = {}
    for name, value in task.labels.items():
        names.setdefault(_integers(value)[0], []).append(name)
    for value, twice in names.items():
        if len(twice) > 1:
            yield f"labels {', '.join(twice)} are all {value}, so they cannot be told apart"


def _wrong_order(task: Task, order: tuple[int, ...]) -> Iterator[str]:
    """Say which integers would be written as one that lies in other regions: it would mean something else."""
    regions = list(task.foreground.items())
    inside = {value: [name for name, held in regions if value in held] for value in task.values}
    for value, names in inside.items():
        written = next((order[at] for at in reversed(range(len(regions))) if regions[at][0] in names), value)
        if inside.get(written) != names:
            yield (
                f"'regions_class_order' {list(order)} writes {value} ({', '.join(names)}) as {written}, "
                f"which is {', '.join(inside.get(written) or ['no region'])}: later ones overwrite earlier "
                "ones, so the smaller must come later"
            )


def _integers(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _is_label(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
