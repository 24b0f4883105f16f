"""Payloads in files of every kind, one after the other: what they did, where they did anything."""

import os
import random
import warnings

import payloads
from file_kinds import KINDS
from fuzzing import limits
from hostile_names import seen

SECRET = "SECRET_OF_A_TEST"


def names_of_payloads(folder):
    """All payloads: those that are values in a file, and those that are its whole content."""
    values = {**payloads.targets(folder), **payloads.texts(folder)}
    return values, {**payloads.documents(folder), **payloads.pickles(folder)}


def put(plain, payload, draws):
    """Give values with a payload in the place of one of them, and beside them."""
    if isinstance(plain, dict) and plain:
        key = draws.choice(list(plain))
        inside = put(plain[key], payload, draws) if draws.random() < 0.7 else payload
        return {**plain, key: inside, **({"x": payload} if draws.random() < 0.3 else {})}
    if isinstance(plain, (list, tuple)) and plain:
        at = draws.randrange(len(plain))
        return [put(one, payload, draws) if i == at else one for i, one in enumerate(plain)]
    return payload


def try_payloads(name, place, every=1, first=0):
    """Read files of a kind with one payload after the other; name those that did or told anything.

    Args:
        name: Of the kind.
        place: An empty folder.
        every: Takes each of so many payloads only, from ``first`` on.
        first: Number of the first.
    """
    kind, draws, folder = KINDS[name], random.Random(name), place / "files"
    (place / "kept").mkdir(parents=True)
    (place / "kept" / "file").write_text("kept")
    folder.mkdir()
    os.environ[SECRET] = "the secret"
    files = kind.make(folder)
    whole = {file: file.read_bytes() for file in files}
    around, found = _around(place, folder), []
    values, contents = names_of_payloads(place)
    for payload in [*(values if kind.codec else ()), *contents][first % every :: every]:
        file = draws.choice(files)
        if payload in values:
            kind.codec.dump(file, put(kind.codec.load(file), values[payload], draws))
        else:
            content = contents[payload]
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        said = _read(kind, folder)
        file.write_bytes(whole[file])
        if "the secret" in said or _around(place, folder) != around:
            found.append(payload)
    del os.environ[SECRET]
    return found


def _read(kind, folder):
    try:
        with warnings.catch_warnings(), limits():
            warnings.simplefilter("ignore")
            return repr(kind.read(folder))
    except (ValueError, OSError) as error:
        return str(error)


def _around(place, folder):
    return {path: content for path, content in seen(place).items() if not path.startswith(str(folder))}
