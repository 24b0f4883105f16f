"""A package that is missing is named with what needs it, why it is missing, and what installs it."""

import ast
import sys

import pytest
from style_figures import PACKAGE

from ingradient_pl.images.dicom_file import pydicom
from ingradient_pl.images.dicom_seg import check_installed
from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.images.simpleitk import simpleitk
from ingradient_pl.optional import require
from ingradient_pl.reports.page import check_extra

OPTIONAL = {
    "SimpleITK": (simpleitk, ImageError, "pip install 'SimpleITK>=2.5'. Stores and NIfTI"),
    "pydicom": (pydicom, ImageError, "pip install 'pydicom>=3.0'. Stores and NIfTI"),
    "highdicom": (
        check_installed,
        ImageError,
        r"pip install 'ingradient_pl\[dicom\]'. Without it, write .nii.gz",
    ),
    "plotly": (check_extra, ImportError, r"pip install 'ingradient_pl\[report\]'.$"),
}


@pytest.mark.parametrize("package", OPTIONAL)
def test_what_is_missing_is_named_with_the_cure(package, monkeypatch):
    use, error, cure = OPTIONAL[package]
    monkeypatch.setitem(sys.modules, package, None)
    getattr(use, "cache_clear", lambda: None)()
    with pytest.raises(error, match=rf"need the package {package}, which cannot be imported .*{cure}"):
        use()


def test_what_is_there_is_given():
    assert require("json", "Tests", "nothing").loads("[1]") == [1]


def test_nothing_else_says_how_to_install_a_package():
    """Whoever catches an ImportError to tell of it does so in one place."""
    own = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.glob("**/*.py")
        if "ImportError" in (text := file.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler)
        and "ImportError" in ast.unparse(node.type or ast.Constant(None))
        and "pip install" in ast.unparse(node)
    }
    assert own == {"optional.py"}
