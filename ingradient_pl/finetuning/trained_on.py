"""Cases of one data set that a network was trained on, as the record of a run has them."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class TrainedOn(NamedTuple):
    """Cases of one data set that a network was trained on.

    Args:
        cases: Their names.
        data: Name of the data set; empty where it has none.
        path: Of the store.
        sha256: The store's check sum.
        images: Check sum of each case's image, in the order of the cases; empty where none was kept.
    """

    cases: tuple[str, ...]
    data: str = ""
    path: str = ""
    sha256: str = ""
    images: tuple[str, ...] = ()

    def is_same_data(self, other: "TrainedOn") -> bool:
        """Whether names in both mean the same cases: one store, one content or one name of the data set.

        Args:
            other: Cases of another run.
        """
        pairs = ((self.data, other.data), (self.path, other.path), (self.sha256, other.sha256))
        return any(bool(one) and one == two for one, two in pairs)

    def as_plain(self) -> dict[str, Any]:
        """Give it as it is written into the record of a run."""
        return {**self._asdict(), "cases": list(self.cases), "images": list(self.images)}

    @classmethod
    def from_plain(cls, told: Mapping[str, Any]) -> "TrainedOn":
        """Read what :meth:`as_plain` gave; what else stands there is left alone.

        Args:
            told: Plain values of a run's record.
        """
        texts = {name: str(told.get(name, "")) for name in ("data", "path", "sha256")}
        cases, images = (tuple(map(str, told.get(name, ()))) for name in ("cases", "images"))
        return cls(cases=cases, images=images, **texts)
