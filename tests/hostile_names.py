"""Names that no case may have, names that every case may have, and what lies where nothing may be written."""

ELSEWHERE = "VICTIM"
"""Stands in a name for the absolute path of a folder that must stay as it is."""

HOSTILE = [
    *("", " ", "\t", ".", "..", "./", "../", "...", ".hidden", ".unfinished@h@1@x"),
    *("../victim", "../victim/x", "../../victim/x", "a/../../victim/x", "a/b", "/", "//", "/etc/passwd"),
    *(ELSEWHERE, f"{ELSEWHERE}/x", f"/{ELSEWHERE}", f"a/../..{ELSEWHERE}", f"./{ELSEWHERE}"),
    *("..\\victim", "a\\b", "\\", "C:\\victim", "C:victim", "\\\\host\\victim"),
    *("a\0b", "a\nb", "a\rb", "\x1b[2J", "a\x7fb", "a\u2028b", "a\x85b"),
    *("con", "NUL", "nul.x", "Aux", "COM1", "lpt9.nii"),
    *(" a", "a ", "a\u00a0", "a\u200bb", "a\u200d", "\ufeffa", "a\u202eb", "\u2066a", "a\u00adb"),
    *("x" * 235, "é" * 130, "a/" * 400),
]
HARMLESS = [
    *(
        "liver 7",
        "it's",
        'say "hi"',
        "-a",
        "--store",
        "a=b",
        "a,b",
        "[a]",
        "{a}",
        "$HOME",
        "${x}",
        "a;b",
        "a&b",
    ),
    *(
        "a|b",
        "a*b",
        "a?b",
        "~",
        "#1",
        "%s",
        "@x",
        "jürgen",
        "نامه\u200cها",
        "患者",
        "😀",
        "a.b",
        "a.nii",
        "x" * 200,
        "conrad",
    ),
]


def seen(folder):
    """What lies below a folder: every entry with its content, or where it leads."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[str(path)] = str(path.readlink())
        else:
            found[str(path)] = path.read_bytes() if path.is_file() else None
    return found
