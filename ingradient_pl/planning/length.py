"""How long to train by the fast recipe: a proposal from the number of training cases."""

STEPS, CASES = 1000, 160
"""The longest runs of the study of the recipe (docs/recipe.md), and the cases that they trained on."""


def propose_steps(cases: int) -> int:
    """Propose the number of training steps: as many as were studied, and in proportion for more cases.

    In the study Dice still rose from 250 steps (0.866) over 400 (0.873) to 1,000 (0.879), and nothing longer
    was tried: fewer steps would give that away, and fewer cases need no fewer. Each of more cases is then
    seen as often as those of the study were. Nobody has measured how far that carries.

    >>> propose_steps(20), propose_steps(160), propose_steps(800)
    (1000, 1000, 5000)

    Args:
        cases: That train.
    """
    return max(STEPS, -(-STEPS * cases // CASES))
