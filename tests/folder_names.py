"""Names that folders have, and that some grammar could take for something else."""

TELLING = ["Projekt (alt)", "josé", "lr=0.1", "Meier, A", 'say "so"', "[1]", "back\\slash", "{x}", "$HOME"]
"""Some of every kind, for tests that take a while."""

NAMES = [
    *TELLING,
    *(
        "plain",
        "#1",
        "a b",
        " leading",
        "trailing ",
        "two  spaces",
        "<y>",
        "it's",
        "ends\\",
        "$x",
        "100%",
        "a;b",
    ),
    *("a|b", "a&b", "!", "?", "*", "~", "~user", "@home", "a@b", "a:b", "a+b", "+a", "++a", "-m", "--cfg"),
    *("a.b", ".hidden", "true", "1", "1e3", "nan", "choice(a,b)", "range(3)", "glob(x)", "a,b,c", "="),
    *("a==b", "データ", "Größe", "mañana/über", "tab\there", "epoch=0", "'quoted'", '"quoted"', "x='1'"),
    *("%(name)s", "file:x", "e\u0301"),
]
