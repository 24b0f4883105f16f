"""What each command does: a module for each, with a function of its name, for paths or objects."""

__all__ = [  # modules
    "calibrate",
    "compare",
    "doctor",
    "evaluate",
    "export",
    "export_nnunet",
    "import_nnunet",
    "info",
    "load",
    "phantoms",
    "plan",
    "postprocess",
    "predict",
    "prepare",
]
