"""The runtime checker of shape annotations: like mypy, it lets an int stand for a float."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
