"""Whether the process shows a person a window: then nothing may block its main thread."""

from __future__ import annotations

import sys
from typing import Any

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
        application = _attribute(f"{binding}.QtGui", "QGuiApplication")
        if application is not None and isinstance(application.instance(), application):
            return True
    return False


def _tk() -> bool:
    return _attribute("tkinter", "_default_root") is not None


def _maya() -> bool:
    about = _attribute("maya.cmds", "about")
    return about is not None and not about(batch=True)


def _blender() -> bool:
    application = _attribute("bpy", "app")
    return application is not None and not application.background


def _nuke() -> bool:
    return bool(_attribute("nuke", "GUI"))


def _attribute(module: str, name: str) -> Any:
    """Return what a loaded module has under a name; hosts fill some of theirs late."""
    return getattr(sys.modules.get(module), name, None)
