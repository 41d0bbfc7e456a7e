"""Which files are watched, and whether they compile."""

from __future__ import annotations

import os
import py_compile
import sys
import sysconfig
import types

import pytest

from hwebserver import reloader, sources
from hwebserver.sources import Files


@pytest.fixture
def module(monkeypatch):
    """Put a module of a file into ``sys.modules``."""

    def add(path, name="watched_by_a_test"):
        made = types.ModuleType(name)
        made.__file__ = path if path is None else str(path)
        monkeypatch.setitem(sys.modules, name, made)
        return made.__file__

    return add


def test_a_stamp_changes_with_the_file(tmp_path, module):
    path = tmp_path / "module.py"
    path.write_text("1", encoding="utf-8")
    name = module(path)
    files = Files()
    before = files.stamps()[name]
    path.write_text("12", encoding="utf-8")
    assert files.stamps()[name] != before


def test_a_stamp_changes_with_the_time_alone(tmp_path, module):
    path = tmp_path / "module.py"
    path.write_text("1", encoding="utf-8")
    name = module(path)
    files = Files()
    before = files.stamps()[name]
    os.utime(path, (1, 1))
    assert files.stamps()[name] != before


def test_a_stamp_changes_with_a_file_that_takes_the_place_of_another(tmp_path, module):
    path, new = tmp_path / "module.py", tmp_path / "module.py.new"
    path.write_text("1", encoding="utf-8")
    name = module(path)
    files = Files()
    before = files.stamps()[name]
    new.write_text("22", encoding="utf-8")
    os.replace(new, path)
    assert files.stamps()[name] != before


def test_a_file_that_is_deleted_has_no_stamp_until_it_is_back(tmp_path, module):
    path = tmp_path / "module.py"
    path.write_text("1", encoding="utf-8")
    name = module(path)
    files = Files()
    path.unlink()
    assert name not in files.stamps()
    path.write_text("1", encoding="utf-8")
    assert name in files.stamps()


def test_a_module_that_is_imported_later_is_watched_and_one_that_is_gone_is_not(tmp_path, module):
    files = Files()
    files.stamps()
    path = tmp_path / "module.py"
    path.write_text("1", encoding="utf-8")
    name = module(path)
    assert name in files.stamps()
    del sys.modules["watched_by_a_test"]
    assert name not in files.stamps()


def test_a_module_that_takes_the_place_of_another_is_watched(tmp_path, module):
    files = Files()
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("1", encoding="utf-8")
        assert module(tmp_path / name) in files.stamps()
    assert str(tmp_path / "one.py") not in files.stamps()


def test_the_package_itself_is_watched():
    assert reloader.__file__ in Files().stamps()


def test_installed_modules_are_not_watched():
    paths = Files().stamps()
    assert os.__file__ not in paths
    assert pytest.__file__ not in paths


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_what_a_host_has_installed_for_itself_is_not_watched(tmp_path, module, folder):
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "module.py"
    path.write_text("", encoding="utf-8")
    assert module(path) not in Files().stamps()


def test_a_folder_whose_name_begins_like_that_of_the_library_is_watched(
    tmp_path, module, monkeypatch
):
    keys = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = dict.fromkeys(keys, str(tmp_path / "lib"))
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    sources._places.cache_clear()
    for folder in ("lib", "library"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "module.py").write_text("", encoding="utf-8")
    installed = module(tmp_path / "lib" / "module.py", "installed_for_a_test")
    own = module(tmp_path / "library" / "module.py", "own_for_a_test")
    found = Files().stamps()
    sources._places.cache_clear()
    assert installed not in found
    assert own in found


@pytest.mark.parametrize("name", [None, "missing.py", "compiled.so", "folder"])
def test_modules_without_a_source_file_are_passed_over(tmp_path, module, name):
    (tmp_path / "compiled.so").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    path = module(None if name is None else tmp_path / name)
    assert path not in Files().stamps()


def test_what_is_no_module_is_passed_over(tmp_path, monkeypatch):
    class Strange:
        @property
        def __file__(self):
            raise RuntimeError

    monkeypatch.setitem(sys.modules, "strange_for_a_test", Strange())
    monkeypatch.setitem(sys.modules, "none_for_a_test", None)
    assert reloader.__file__ in Files().stamps()


def test_a_module_that_is_only_there_compiled_is_watched(tmp_path, module):
    path = tmp_path / "module.pyc"
    path.write_bytes(b"")
    assert module(path) in Files().stamps()


def test_the_script_is_watched_whatever_it_is_called(tmp_path, module):
    path = tmp_path / "script"
    path.write_text("", encoding="utf-8")
    assert module(path, "__main__") in Files().stamps()
    assert module(path, "main_for_a_test") == str(path)


# --- what is watched beside ---


@pytest.fixture
def tree(tmp_path):
    for name in ("a.html", "sub/b.html", "sub/deep/c.txt", ".hidden/d", "sub/.e", "__pycache__/f"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (".", {"a.html", "sub/b.html", "sub/deep/c.txt"}),
        ("sub", {"sub/b.html", "sub/deep/c.txt"}),
        ("a.html", {"a.html"}),
        ("missing", set()),
        ("*.html", {"a.html"}),
        ("**/*.html", {"a.html", "sub/b.html"}),
        ("s?b/*", {"sub/b.html"}),
        (".hidden", {".hidden/d"}),
    ],
)
def test_files_folders_and_patterns_are_watched(tree, monkeypatch, given, found):
    monkeypatch.chdir(tree)
    files = Files([given])
    monkeypatch.chdir("/")
    assert set(files.extra_stamps()) == {str(tree / one) for one in found}
    assert not files.stamps().keys() & files.extra_stamps().keys()


def test_a_file_whose_name_looks_like_a_pattern_is_watched(tmp_path):
    path = tmp_path / "page[1].html"
    path.write_text("", encoding="utf-8")
    assert list(Files([str(path)]).extra_stamps()) == [str(path)]


# --- whether a file compiles ---


def test_a_file_that_compiles_has_no_problem():
    assert sources.problem_of(__file__) == ""


def test_a_file_that_declares_its_encoding_compiles(tmp_path):
    path = tmp_path / "old.py"
    path.write_bytes("# coding: latin-1\nname = 'é'\n".encode("latin-1"))
    assert sources.problem_of(str(path)) == ""


@pytest.mark.parametrize(
    "text", [b"def", b"x = 1\n  y = 2\n", b"x = '\xff'\n", b"x = 1\0\n", b"return 1\n"]
)
def test_a_file_that_does_not_compile_has_one(tmp_path, text):
    path = tmp_path / "broken.py"
    path.write_bytes(text)
    assert sources.problem_of(str(path))


def test_a_compiled_file_is_one_of_this_python(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("", encoding="utf-8")
    compiled = py_compile.compile(str(path), str(tmp_path / "module.pyc"))
    assert sources.problem_of(compiled) == ""
    (tmp_path / "module.pyc").write_bytes(b"none")
    assert sources.problem_of(compiled)


def test_a_file_that_cannot_be_read_is_no_error_of_syntax(tmp_path):
    with pytest.raises(OSError, match=r"missing\.py"):
        sources.problem_of(str(tmp_path / "missing.py"))
