"""Labels that DICOM objects name (SEG, RTSTRUCT): one integer for each name, over all cases."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from ingradient_pl.datasets.records import CaseFiles, Source
from ingradient_pl.images.dicom_labels import Segments
from ingradient_pl.images.label_objects import describe_object, is_label_object
from ingradient_pl.images.raw_image import ImageError

BACKGROUND = "background"
MOST = 2**16
"""Integers that a label map can hold."""


def unite_names(found: Iterable[Segments]) -> dict[str, int]:
    """Give each name of a segment one integer: its own number, unless another name has it already.

    Args:
        found: What label objects name, in an order that stays. Small letters and capitals are one name.
    """
    labels: dict[str, int] = {}
    known = {BACKGROUND}
    later = []
    for number, name in (named for one in found for named in one.names.items()):
        if name.casefold() in known:
            continue
        known.add(name.casefold())
        if 0 < number < MOST and number not in labels.values():
            labels[name] = number
        else:
            later.append(name)
    for name in later:
        labels[name] = max(labels.values(), default=0) + 1
    return dict(sorted(labels.items(), key=lambda entry: entry[1]))


def object_labels(cases: Sequence[CaseFiles]) -> dict[str, int] | None:
    """Give the labels that DICOM objects name, with an integer each; None where other files are labels.

    Args:
        cases: With or without a label. An object that cannot be read is reported when it is prepared.
    """
    files = [case.label for case in cases if case.label is not None]
    if not files or not all(map(is_label_object, files)):
        return None
    found = []
    for file in files:
        with suppress(ImageError):
            found.append(describe_object(file))
    return unite_names(found)


def name_labels(source: Source) -> Source:
    """Give cases whose label is a DICOM object the integers that its segments have by name.

    Args:
        source: Its task names the labels; regions and labels that may overlap have no integer.
    """
    task = source.task
    values = {} if task.has_regions else {name: value for name, (value, *_) in task.foreground.items()}
    told = tuple(values.items()) if task.overlap is None else ()
    cases = [
        case._replace(labels=told) if case.label and (case.labels or is_label_object(case.label)) else case
        for case in source.cases
    ]
    return source._replace(cases=cases)
