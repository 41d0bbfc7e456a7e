"""Whether the process shows a person a window: then nothing may block its main thread."""

from __future__ import annotations

import sys

_QT = ("PySide6", "PySide2", "PyQt6", "PyQt5")


def is_ui_available() -> bool:
    """Return whether the process is graphical.

    Houdini decides itself, asked at each call; else a Qt application, a Tk root window, or Maya,
    Blender or Nuke outside their batch modes. Nothing is imported for it: what is not loaded is
    not shown.
    """
    hou = sys.modules.get("hou")
    if hou is not None:
        return bool(hou.isUIAvailable())
    return _qt() or _tk() or _maya() or _blender() or _nuke()


def _qt() -> bool:
    for binding in _QT:
        gui = sys.modules.get(f"{binding}.QtGui")
        if gui is not None and isinstance(gui.QGuiApplication.instance(), gui.QGuiApplication):
            return True
    return False


def _tk() -> bool:
    return getattr(sys.modules.get("tkinter"), "_default_root", None) is not None


def _maya() -> bool:
    commands = sys.modules.get("maya.cmds")
    return commands is not None and not commands.about(batch=True)


def _blender() -> bool:
    bpy = sys.modules.get("bpy")
    return bpy is not None and not bpy.app.background


def _nuke() -> bool:
    nuke = sys.modules.get("nuke")
    return nuke is not None and bool(nuke.GUI)
