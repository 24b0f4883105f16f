"""What is segmented and from what: the channels, the labels and their meaning, as ``dataset.json`` tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ingradient_pl.short_repr import short_repr

BACKGROUND = 0


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

    Raises:
        ValueError: If there is no channel or no foreground label, or a label is not an integer >= 0.
    """

    channels: tuple[str, ...]
    labels: Mapping[str, int | tuple[int, ...]]
    regions_class_order: tuple[int, ...] | None = None
    name: str = ""
    file_ending: str = ".nii.gz"
    notes: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # YAML and JSON know lists only
        object.__setattr__(self, "channels", tuple(self.channels))
        labels = {name: tuple(v) if isinstance(v, (list, tuple)) else v for name, v in self.labels.items()}
        object.__setattr__(self, "labels", labels)
        if not self.has_regions:  # else a list of one is a region: nnU-Net's scores call it (2,)
            plain = {name: v[0] if isinstance(v, tuple) and len(v) == 1 else v for name, v in labels.items()}
            object.__setattr__(self, "labels", plain)
        if self.regions_class_order is not None:
            object.__setattr__(self, "regions_class_order", tuple(self.regions_class_order))
        if not self.channels or not any(name not in ("background", "ignore") for name in labels):
            raise ValueError(
                f"A task needs a channel and a foreground label; got channels={list(self.channels)}, "
                f"labels={labels}. Name them in dataset.json under 'channel_names' and 'labels'."
            )
        wrong = {name: v for name, v in labels.items() if not all(_is_label(one) for one in _integers(v))}
        if wrong:
            raise ValueError(f"Labels must be integers >= 0, or lists of them for regions; got {wrong}.")

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def described(self) -> dict[str, object]:
        """The task in the words of nnU-Net's ``dataset.json``."""
        order = self.regions_class_order
        return {
            "name": self.name,
            "channel_names": {str(i): channel for i, channel in enumerate(self.channels)},
            "labels": {name: list(v) if isinstance(v, tuple) else v for name, v in self.labels.items()},
            **({} if order is None else {"regions_class_order": list(order)}),
            "file_ending": self.file_ending,
            **self.notes,
        }

    @property
    def ignore(self) -> int | None:
        """The integer of voxels that nobody annotated; None where there is none."""
        ignored = self.labels.get("ignore")
        return ignored if isinstance(ignored, int) else None

    @property
    def has_regions(self) -> bool:
        """Whether a label is a union of integers; the network then answers yes or no for each region."""
        return any(isinstance(value, tuple) and len(value) > 1 for value in self.labels.values())

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
    def outputs(self) -> int:
        """Logits per voxel: one per region, or one per label value with the background first."""
        if self.has_regions:
            return len(self.foreground)
        return max(value for value in self.values if value != self.ignore) + 1

    @property
    def output_names(self) -> list[str]:
        """Name of each of the network's outputs, in their order; a number where an integer has no name."""
        if self.has_regions:
            return list(self.foreground)
        named = {value: name for name, value in self.labels.items()}
        return [named.get(value, str(value)) for value in range(self.outputs)]


def _integers(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _is_label(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
