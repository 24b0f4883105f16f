"""``ingradient-train``: nothing heavy is imported before the command can be stopped in one line."""

from ingradient_pl.cli.failures import stop_in_one_line

COMMAND = "ingradient-train"


def main() -> None:
    """Console entry: import what trains, then train."""
    with stop_in_one_line(COMMAND):
        from ingradient_pl.cli import training_command
    training_command.main()


if __name__ == "__main__":
    main()
