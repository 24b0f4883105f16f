"""Sixty payloads through every kind of file that is read: none runs, writes or deletes."""

import random
import warnings
from pathlib import Path

import payloads
import pytest
from file_kinds import KINDS
from fuzzing import limits
from hostile_names import HOSTILE, seen

PLAIN = {**payloads.targets(Path("x")), **payloads.texts(Path("x"))}
WHOLE = {**payloads.documents(Path("x")), **payloads.pickles(Path("x"))}


def test_there_are_sixty_of_them():
    assert len(PLAIN) + len(WHOLE) >= 60
    assert len(HOSTILE) >= 40


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


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_no_payload_in_a_file_runs_writes_or_deletes(tmp_path, monkeypatch, name):
    kind, draws = KINDS[name], random.Random(name)
    monkeypatch.setenv("SECRET_OF_A_TEST", "the secret")
    place, folder = tmp_path / "place", tmp_path / "place" / "files"
    (place / "kept").mkdir(parents=True)
    (place / "kept" / "file").write_text("kept")
    folder.mkdir()
    files = kind.make(folder)
    whole = {file: file.read_bytes() for file in files}
    around = {path: content for path, content in seen(place).items() if not path.startswith(str(folder))}
    contents = {**payloads.documents(place), **payloads.pickles(place)}
    values = {**payloads.targets(place), **payloads.texts(place)} if kind.codec else {}
    for payload in (*values, *contents):
        file = draws.choice(files)
        if payload in values:
            kind.codec.dump(file, put(kind.codec.load(file), values[payload], draws))
        else:
            content = contents[payload]
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            with warnings.catch_warnings(), limits():
                warnings.simplefilter("ignore")
                said = repr(kind.read(folder))
        except (ValueError, OSError) as error:
            said = str(error)
        assert "the secret" not in said, payload
        file.write_bytes(whole[file])
        after = {path: text for path, text in seen(place).items() if not path.startswith(str(folder))}
        assert after == around, payload
