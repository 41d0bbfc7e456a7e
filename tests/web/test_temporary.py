"""Temporary files, and how they go."""

from __future__ import annotations

import os
import stat
import tempfile
import threading

import pytest
from support import PATIENCE

from hwebserver.web import temporary
from hwebserver.web.temporary import Made, delete_file, ending_of, make_file, write_all


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An own directory for temporary files, and a process that has none elsewhere."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "_files", set())
    monkeypatch.setattr(temporary, "_exiting", threading.Event())
    return tmp_path


def make(ending: str = "") -> Made:
    descriptor, made = make_file(ending)
    os.close(descriptor)
    return made


def test_a_file_has_a_name_of_its_own_with_the_ending(folder):
    paths = {make(".bgeo.sc").path for _ in range(3)}
    assert {str(one) for one in folder.iterdir()} == paths
    assert len(paths) == 3
    assert all(path.endswith(".bgeo.sc") and "hwebserver-" in path for path in paths)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such rights")
def test_a_file_is_for_its_owner_alone(folder):
    assert stat.S_IMODE(os.stat(make().path).st_mode) == 0o600


def test_a_deleted_file_may_be_gone_already(folder):
    made = make()
    delete_file(made)
    assert os.listdir(folder) == []
    assert not temporary._files  # or a server of years would remember them all
    delete_file(made)


def test_the_file_of_another_process_is_not_deleted(folder):
    made = make()
    delete_file(made._replace(process=made.process + 1))
    assert os.path.exists(made.path)


def test_a_file_that_cannot_be_made_is_none(folder, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    with pytest.raises(FileNotFoundError):
        make_file("")
    assert not temporary._making
    assert not temporary._files


# --- the end of the process ---


def test_what_is_left_at_the_end_is_deleted_and_no_more_is_made(folder):
    gone = make()
    delete_file(gone)
    make(".a")
    make(".b")
    foreign = Made(str(folder / "foreign"), os.getpid() + 1)
    (folder / "foreign").touch()
    temporary._files.add(foreign)  # as a child inherits it
    temporary._delete_all()
    assert os.listdir(folder) == ["foreign"]
    with pytest.raises(OSError, match="process ends"):
        make_file("")
    assert os.listdir(folder) == ["foreign"]


@pytest.fixture
def being_made(folder, monkeypatch):
    """A thread that is making a file until it is let go; it cannot be refused any more."""
    begun, go_on = threading.Event(), threading.Event()
    own = tempfile.mkstemp

    def wait(*arguments):
        begun.set()
        assert go_on.wait(PATIENCE)
        return own(*arguments)

    monkeypatch.setattr(tempfile, "mkstemp", wait)
    thread = threading.Thread(target=make)
    thread.start()
    assert begun.wait(PATIENCE)
    yield go_on
    go_on.set()
    thread.join()


def test_a_file_that_is_being_made_at_the_end_is_waited_for(folder, being_made, monkeypatch):
    monkeypatch.setattr(temporary.time, "sleep", lambda seconds: being_made.set())
    temporary._delete_all()
    assert being_made.is_set()
    assert os.listdir(folder) == []


def test_a_file_that_is_never_made_does_not_hold_up_the_end(folder, being_made, monkeypatch):
    monkeypatch.setattr(temporary, "_PATIENCE", 0.01)
    other = folder / "other"
    other.touch()
    temporary._files.add(Made(str(other), os.getpid()))
    temporary._delete_all()
    assert os.listdir(folder) == []


def test_what_the_parent_of_a_process_was_making_is_not_waited_for(folder, monkeypatch):
    monkeypatch.setattr(temporary, "_making", [os.getpid() + 1])
    monkeypatch.setattr(temporary.time, "sleep", pytest.fail)
    temporary._delete_all()


# --- names and data ---


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.exr", ".exr"), ("a.EXR", ".EXR"), ("a.0001.exr", ".exr"), ("a b.jpeg", ".jpeg"),
        ("a.bgeo.sc", ".bgeo.sc"), ("a.0001.bgeo.sc", ".bgeo.sc"), ("a.tar.gz", ".tar.gz"),
        ("a.TAR.GZ", ".TAR.GZ"), ("a.gz", ".gz"), ("a.7z", ".7z"), ("a.b.c", ".c"), ("a", ""),
        ("", ""), (".exr", ""), ("a.", ""), ("a..", ""), ("a.e xr", ""), ("a.e;xr", ""),
        ("a.e/x", ""), ("a.\u00fc", ""), ("a.e\0r", ""), ("a.exr\n", ""), ("a.$(x).gz", ".gz"),
        ("a.%2e", ""), ("a." + "x" * 16, "." + "x" * 16), ("a." + "x" * 17, ""),
        ("a." + "x" * 17 + ".gz", ".gz"), ("a.-rf", ""), ("..gz", ""),
    ],
)  # fmt: skip
def test_an_ending_is_kept_if_it_is_one(name, ending):
    assert ending_of(name) == ending


@pytest.mark.parametrize("most", [1, 7, 1000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_all_is_written_though_the_disk_takes_a_part(folder, monkeypatch, most, kind):
    own = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: own(descriptor, data[:most]))
    data = bytes(range(256)) * 2
    descriptor, made = make_file("")
    write_all(descriptor, kind(data))
    os.close(descriptor)
    with open(made.path, "rb") as file:
        assert file.read() == data
