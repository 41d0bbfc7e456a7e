"""Whether a process is graphical, told by the modules that it has loaded."""

from __future__ import annotations

import sys
import types

import pytest

from hwebserver.hosts.graphical import is_ui_available

HOSTS = ["hou", "tkinter", "maya", "maya.cmds", "bpy", "nuke"]
BINDINGS = ["PySide6", "PySide2", "PyQt6", "PyQt5"]


@pytest.fixture(autouse=True)
def no_host(monkeypatch):
    """Begin without any of the modules that a graphical program has."""
    for name in [*HOSTS, *BINDINGS, *(f"{binding}.QtGui" for binding in BINDINGS)]:
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def load(monkeypatch):
    """Put a module that has given attributes into ``sys.modules``."""

    def add(name, **attributes):
        module = types.ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return add


def qt(instance_of):
    """Return the classes of a Qt whose application is of the class of that name; "": none is."""

    class QCoreApplication:
        _instance = None

        @classmethod
        def instance(cls):
            return QCoreApplication._instance

    class QGuiApplication(QCoreApplication):
        pass

    class QApplication(QGuiApplication):
        pass

    classes = {one.__name__: one for one in (QCoreApplication, QGuiApplication, QApplication)}
    if instance_of:
        QCoreApplication._instance = classes[instance_of]()
    return {"QGuiApplication": QGuiApplication}


def batch_maya(batch):
    return {"about": lambda **question: batch if question == {"batch": True} else None}


def blender(background):
    return {"app": types.SimpleNamespace(background=background)}


def test_a_plain_process_is_not():
    assert is_ui_available() is False


def test_nothing_is_imported_to_find_out():
    before = set(sys.modules)
    is_ui_available()
    assert set(sys.modules) == before


@pytest.mark.parametrize("answer", [True, False])
def test_houdini_decides(load, answer):
    load("hou", isUIAvailable=lambda: answer)
    assert is_ui_available() is answer


def test_houdini_is_asked_at_each_call(load):
    answers = iter([False, True, False])
    load("hou", isUIAvailable=lambda: next(answers))
    assert [is_ui_available() for _ in range(3)] == [False, True, False]


def test_houdini_alone_decides(load):
    load("hou", isUIAvailable=lambda: False)
    load("PySide6.QtGui", **qt("QApplication"))
    load("tkinter", _default_root=object())
    load("maya.cmds", **batch_maya(False))
    load("bpy", **blender(False))
    load("nuke", GUI=True)
    assert is_ui_available() is False


def test_an_import_of_houdini_that_is_blocked_is_no_houdini(monkeypatch):
    monkeypatch.setitem(sys.modules, "hou", None)
    assert is_ui_available() is False


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(
    ("application", "graphical"),
    [("QApplication", True), ("QGuiApplication", True), ("QCoreApplication", False), ("", False)],
)
def test_qt_is_with_an_application_that_has_windows(load, binding, application, graphical):
    load(f"{binding}.QtGui", **qt(application))
    assert is_ui_available() is graphical


def test_tk_is_with_a_root_window(load):
    module = load("tkinter", _default_root=None)
    assert is_ui_available() is False
    module._default_root = object()
    assert is_ui_available() is True


def test_tk_that_keeps_no_root_window_is_not(load):
    load("tkinter")  # tkinter.NoDefaultRoot() removes the name.
    assert is_ui_available() is False


@pytest.mark.parametrize("batch", [True, False])
def test_maya_is_outside_batch_mode(load, batch):
    load("maya.cmds", **batch_maya(batch))
    assert is_ui_available() is not batch


def test_maya_is_not_before_it_is_initialised(load):
    load("maya.cmds")  # mayapy fills the module in maya.standalone.initialize().
    assert is_ui_available() is False


@pytest.mark.parametrize("background", [True, False])
def test_blender_is_outside_background_mode(load, background):
    load("bpy", **blender(background))
    assert is_ui_available() is not background


@pytest.mark.parametrize("gui", [True, False])
def test_nuke_is_with_its_user_interface(load, gui):
    load("nuke", GUI=gui)
    assert is_ui_available() is gui


@pytest.mark.parametrize("name", ["PySide6.QtGui", "tkinter", "maya.cmds", "bpy", "nuke"])
def test_a_module_that_only_has_the_name_of_a_host_is_not(load, name):
    load(name)
    assert is_ui_available() is False


@pytest.mark.parametrize(
    ("module", "attributes"),
    [
        ("maya.cmds", batch_maya(False)),
        ("bpy", blender(False)),
        ("nuke", {"GUI": True}),
        ("tkinter", {"_default_root": object()}),
    ],
)
def test_one_graphical_host_is_enough(load, module, attributes):
    load("PyQt5.QtGui", **qt(""))
    load("tkinter", _default_root=None)
    load("bpy", **blender(True))
    load(module, **attributes)
    assert is_ui_available() is True
