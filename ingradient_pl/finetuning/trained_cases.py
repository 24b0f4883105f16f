"""Cases that a network was trained on: they must not validate what starts from its weights."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SHOWN = 5


class TrainedOn(NamedTuple):
    """Cases of one data set that a network was trained on.

    Args:
        cases: Their names.
        data: Name of the data set; empty where it has none.
        path: Of the store.
        sha256: The store's check sum.
    """

    cases: tuple[str, ...]
    data: str = ""
    path: str = ""
    sha256: str = ""

    def is_same_data(self, other: "TrainedOn") -> bool:
        """Whether names in both mean the same cases: one store, one content or one name of the data set.

        Args:
            other: What another training saw.
        """
        pairs = zip(self[1:], other[1:], strict=True)
        return any(bool(one) and one == two for one, two in pairs)

    def as_plain(self) -> dict[str, Any]:
        """Give it as it is written into the record of a run."""
        return {**self._asdict(), "cases": list(self.cases)}

    @classmethod
    def from_plain(cls, told: Mapping[str, Any]) -> "TrainedOn":
        """Read what :meth:`as_plain` gave; what else stands there is left alone.

        Args:
            told: Plain values; what is missing is empty.
        """
        texts = {name: str(told.get(name, "")) for name in ("data", "path", "sha256")}
        return cls(cases=tuple(map(str, told.get("cases", ()))), **texts)


def check_unseen(
    origin: str,
    trained: Sequence[TrainedOn],
    validation: TrainedOn,
    patients: Mapping[str, str] | None = None,
) -> list[str]:
    """Refuse to validate on cases that the weights were trained on, or on other cases of those patients.

    Args:
        origin: Where the weights came from.
        trained: What they were trained on, one entry a data set; empty where nothing tells.
        validation: The cases that would validate.
        patients: The patient of each case of its data set; cases that are not there stand for themselves.

    Returns:
        Warnings: the source does not tell, or another data set has cases of the same names.

    Raises:
        ValueError: If a case of the same data set trained the weights.
    """
    warnings = []
    if not trained:
        warnings.append(
            f"{origin} does not tell which cases it was trained on. If some of them validate now, the scores "
            "flatter: see to it that none does (data.split.file=splits_final.json)."
        )
    for known in trained:
        same = known.is_same_data(validation)
        of = (patients or {}) if same else {}
        seen = {of.get(name, name) for name in known.cases}
        both = sorted(name for name in validation.cases if of.get(name, name) in seen)
        if both and same:
            raise ValueError(
                f"{len(both)} validation cases, or their patients, trained {origin}: {_some(both)}. "
                "Their scores would flatter. Keep its division with init_split=source, or divide with "
                "data.split.number=N or data.split.file=FILE so that they train."
            )
        if both:
            warnings.append(
                f"{len(both)} validation cases have names of cases that trained {origin} ({_some(both)}), in "
                f"another data set ('{known.data}', {known.path or 'of unknown place'}). If they are the "
                "same cases, the scores flatter."
            )
    return warnings


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
