"""Whether two patches are the same to the last bit."""

import torch


def alike(one, other):
    """Whether two patches are the same to the last bit."""
    ways = zip(flat(one.sampling), flat(other.sampling), strict=True)
    return (
        one[:2] == other[:2]
        and all(torch.equal(*pair) for pair in zip(one[2:4], other[2:4], strict=True))
        and torch.equal(one.terms, other.terms)
        and all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in ways)
    )


def flat(way):
    if way is None:
        return []
    return [leaf for part in way for leaf in flat(part)] if isinstance(way, tuple) else [way]
