"""What each command does: a module for each, with a function of its name, for paths or objects."""

__all__ = [  # modules
    "compare",
    "evaluate",
    "export",
    "export_nnunet",
    "import_nnunet",
    "load",
    "phantoms",
    "plan",
    "postprocess",
    "predict",
    "prepare",
]
