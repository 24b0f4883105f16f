"""Which tensor of plain weights plays the role of which of a network: by a mapping, by names, or by order."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product, zip_longest
from pathlib import Path

from torch import Tensor, nn

from ingradient_pl.finetuning.source_record import Source
from ingradient_pl.messages import UsageError
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.weights import nnunet_names, unwrap
from ingradient_pl.phrases import join_times, name_some, say_count
from ingradient_pl.plain_values import read_yaml

ANY, MOST_ANY, LONGEST = "*", 3, 1000
IN_ORDER = "by shape and order: names of the source are other ones"
Rules = Mapping[str, str | None]
"""Names of ours to names of theirs, ``*`` for any text; None leaves a tensor as it was initialised."""
Pairs = dict[str, str]


def read_names(file: Path) -> Rules:
    """Read a mapping of names: YAML whose every line is ``ours: theirs``, ``*`` standing for any text.

    Args:
        file: Such as a line ``encoder.*: backbone.layers.*``. The first line that fits a name holds for it;
            ``null`` leaves tensors as they were initialised.

    Raises:
        UsageError: If it is not such a file, or a line has other ``*`` on both sides, or over three.
    """
    try:
        plain = read_yaml(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"init_mapping={file} cannot be read: {error}") from error
    lines = plain.items() if isinstance(plain, Mapping) else ()
    wrong = [ours for ours, theirs in lines if not _is_rule(ours, theirs)]
    if not lines or wrong:
        raise UsageError(
            f"init_mapping={file} should hold lines such as 'encoder.*: backbone.layers.*', as many '*' on "
            f"the right as on the left and {MOST_ANY} at most, or null on the right; got "
            f"{str(wrong[0] if wrong else plain)[:60]!r}."
        )
    return dict(lines)


def name_weights(
    network: nn.Module, fresh: Mapping[str, Tensor], source: Source, rules: Rules | None = None
) -> Source:
    """Give the tensors of plain weights the names of a network.

    Args:
        network: Whose names.
        fresh: Its tensors, in its order.
        source: Plain weights, by names of their own.
        rules: What a mapping says; None finds names that are alike, nnU-Net's, or the same order of the same
            shapes.

    Raises:
        UsageError: If nothing is certain, or a line of the mapping fits no tensor.
    """
    if rules is not None:
        pairs, how = _apply(rules, fresh, source), ""
    else:
        pairs, how = _find(network, fresh, source)
    told = [f"{source.origin}: tensors were told {how}."] if how else []
    return source._replace(
        weights={ours: source.weights[theirs] for ours, theirs in pairs.items()},
        renamed=pairs,
        warnings=(*source.warnings, *told, *_tell_shared(pairs)),
    )


def _tell_shared(pairs: Pairs) -> Iterator[str]:
    """Say which tensors of the source start several of the network's."""
    counts = Counter(pairs.values())
    shared = [theirs for theirs, count in counts.items() if count > 1]
    if shared:
        ours = [name for name, theirs in pairs.items() if theirs == shared[0]]
        yield (
            f"init_mapping: {say_count(len(shared), 'tensor')} of the source for several of the network, "
            f"such as '{shared[0]}' for {name_some(ours)}. Is that meant?"
        )


def _is_rule(ours: object, theirs: object) -> bool:
    if not isinstance(ours, str) or not (theirs is None or isinstance(theirs, str)):
        return False
    if max(len(ours), len(theirs or "")) > LONGEST:
        return False
    if ours.count(ANY) > MOST_ANY:  # each more of them takes as many times longer as a name has letters
        return False
    return theirs is None or theirs.count(ANY) == ours.count(ANY)


def _apply(rules: Rules, fresh: Mapping[str, Tensor], source: Source) -> Pairs:
    """Rename by a mapping; every line of it must have something to do."""
    wanted: dict[str, str | None] = {}
    for ours, theirs in rules.items():
        pattern = re.compile("(.*)".join(map(re.escape, ours.split(ANY))))
        found = {name: match for name in fresh if name not in wanted and (match := pattern.fullmatch(name))}
        meant = {
            name: None if theirs is None else _fill(theirs, match.groups()) for name, match in found.items()
        }
        if not any(one is None or one in source.weights for one in meant.values()):
            raise UsageError(
                f"init_mapping: '{ours}: {theirs}' fits no pair of tensors that no line before it took. The "
                f"network has {_some(fresh)}; {source.origin} has {_some(source.weights)}."
            )
        wanted |= meant
    return {
        name: theirs for name, theirs in wanted.items() if theirs is not None and theirs in source.weights
    }


def _fill(pattern: str, texts: Sequence[str]) -> str:
    """Put a text in the place of each ``*``."""
    parts = zip_longest(pattern.split(ANY), texts, fillvalue="")
    return "".join(text for pair in parts for text in pair)


def _find(network: nn.Module, fresh: Mapping[str, Tensor], source: Source) -> tuple[Pairs, str]:
    """Find names that are certain, and how they were."""
    alike = max(
        _alike(network, fresh, source.weights), key=lambda pairs: _count_values(pairs, fresh, source.weights)
    )
    if _count_values(alike, fresh, source.weights):
        return alike, ""
    ours, theirs = list(fresh.items()), list(source.weights.items())
    if len(ours) == len(theirs) and all(map(_plays_same, ours, theirs)):
        return dict(zip(fresh, source.weights, strict=True)), IN_ORDER
    raise UsageError(
        f"{source.origin} names its {len(theirs)} tensors otherwise than this network its {len(ours)}, and "
        "their order tells nothing certain. Say which is which in a file of lines 'ours: theirs', '*' for "
        "any text, such as 'encoder.*: backbone.layers.*', and name it: init_mapping=FILE.yaml. The network "
        f"has {_some(fresh)}; the source has {_some(source.weights)}."
    )


def _alike(network: nn.Module, fresh: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Iterator[Pairs]:
    """Give pairs of the same names, whatever stands before all names of one side; and of nnU-Net's names."""
    for cut_ours, cut_theirs in product(_cuts(fresh), _cuts(weights)):
        ours = {_cut(name, cut_ours): name for name in fresh}
        theirs = {_cut(name, cut_theirs): name for name in weights}
        yield {ours[name]: theirs[name] for name in theirs if name in ours}
    if isinstance(network, UNet):
        known = {unwrap(name): name for name in weights}
        yield {name: known[nnunets] for name, nnunets in nnunet_names(network) if nnunets in known}


def _cut(name: str, count: int) -> str:
    """Leave out the first parts of a dotted name."""
    return ".".join(name.split(".")[count:])


def _cuts(names: Mapping[str, Tensor]) -> range:
    """Give how many parts may be left out, as all names begin with them: none, one, two, ..."""
    parts = [name.split(".")[:-1] for name in names]
    same = 0
    while parts and all(len(one) > same and one[same] == parts[0][same] for one in parts):
        same += 1
    return range(same + 1)


def _count_values(pairs: Pairs, fresh: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> int:
    """Count the values of pairs of one shape; kernels of one width count as well."""
    return sum(
        fresh[ours].numel()
        for ours, theirs in pairs.items()
        if fresh[ours].shape[:1] == weights[theirs].shape[:1]
    )


def _plays_same(ours: tuple[str, Tensor], theirs: tuple[str, Tensor]) -> bool:
    """Whether two tensors of the same place have one shape, and are both weights or both biases."""
    ends = [name.rpartition(".")[2] for name, _ in (ours, theirs)]
    return ends[0] == ends[1] and ours[1].shape == theirs[1].shape


def _some(tensors: Mapping[str, Tensor]) -> str:
    return name_some([f"{name} ({join_times(value.shape)})" for name, value in tensors.items()])
