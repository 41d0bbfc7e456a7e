"""How the main thread of each host is reached, found out from the modules that it has loaded."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional

from ..errors import OperationFailed

if TYPE_CHECKING:
    import asyncio

#: How often a loop that no other thread can wake looks for calls, in seconds.
POLL = 0.01

Turn = Callable[[], None]


def _always() -> bool:
    return True


def _nothing() -> None:
    pass


class Adapter:
    """What reaches the main thread.

    Attributes:
        name: For people.
        wake: Has the main thread run what waits, soon; any thread may call it.
        is_usable: Says whether the loop that it reaches is still there.
        close: Ends it.
        forget: Ends it in the child of a fork, where nothing is to be heard of it in the parent.
    """

    __slots__ = (
        "close",
        "forget",
        "is_usable",
        "name",
        "wake",
    )

    def __init__(
        self,
        name: str,
        wake: Callable[[], object],
        is_usable: Callable[[], bool] = _always,
        close: Callable[[], None] = _nothing,
        forget: Callable[[], None] = _nothing,
    ) -> None:
        self.name = name
        self.wake = wake
        self.is_usable = is_usable
        self.close = close
        self.forget = forget


def find(turn: Turn) -> Optional[Adapter]:
    """Return what reaches the main thread of this process; None: nothing is known that does.

    Args:
        turn: What the main thread is to call.
    """
    for make in _KINDS.values():
        adapter = make(turn)
        if adapter is not None:
            return adapter
    return None


def by_name(name: str, turn: Turn) -> Adapter:
    """Return the adapter of a name.

    Args:
        name: The name.
        turn: What the main thread is to call.

    Raises:
        OperationFailed: there is none, or its host is not there.
    """
    name = name.lower()
    make = _KINDS.get(name)
    if make is None:
        raise OperationFailed(f"{name!r} is no main thread adapter: there are {', '.join(_KINDS)}")
    if name == "asyncio":
        note_loop()
    adapter = make(turn)
    if adapter is None:
        raise OperationFailed(f"the main thread adapter {name!r} cannot be used: {_ABSENT[name]}")
    return adapter


def why_none() -> str:
    """Return why no adapter is found, as far as it can be told."""
    app = getattr(sys.modules.get("bpy"), "app", None)
    if app is not None and app.background:
        return "Blender is in its background mode, where its timers do not run"
    if sys.modules.get("hou") is not None:
        return "this Houdini shows no windows, so it has no event loop"
    if _attribute("maya.cmds", "about") is not None:
        return "Maya is in its batch mode, where it has no event loop"
    if sys.modules.get("nuke") is not None:
        return "Nuke shows no windows, so it has no event loop"
    return "no event loop is known that runs there"


def _attribute(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _of_host(name: str) -> Any:
    """Return a module that comes with a host, loaded or not; None: this host has none."""
    try:
        from importlib import import_module

        return sys.modules.get(name) or import_module(name)
    except ImportError:
        return None


def _houdini(turn: Turn) -> Optional[Adapter]:
    """Houdini: what is deferred runs in its event loop when nothing cooks, every 50 ms or so."""
    hou = sys.modules.get("hou")
    if hou is None or not hou.isUIAvailable():
        return None
    hdefereval = _of_host("hdefereval")
    if hdefereval is not None:
        return Adapter("houdini", lambda: hdefereval.executeDeferred(turn))
    hou.ui.addEventLoopCallback(turn)
    return Adapter("houdini", _nothing, close=lambda: hou.ui.removeEventLoopCallback(turn))


def _maya(turn: Turn) -> Optional[Adapter]:
    """Maya: what is deferred runs when it is idle, which it never is in batch mode."""
    about = _attribute("maya.cmds", "about")
    try:
        if about is None or about(batch=True):
            return None
    except Exception:
        return None  # Its commands fail on other threads; a server that starts has asked before.
    utils = _of_host("maya.utils")
    return None if utils is None else Adapter("maya", lambda: utils.executeDeferred(turn))


def _nuke(turn: Turn) -> Optional[Adapter]:
    """Nuke: its own function, which must not be called on the main thread."""
    nuke = sys.modules.get("nuke")
    if not getattr(nuke, "GUI", False):
        return None

    def wake() -> None:
        execute = nuke.executeInMainThread  # type: ignore[union-attr]
        if threading.current_thread() is threading.main_thread():
            threading.Thread(target=execute, args=(turn,), daemon=True).start()
        else:
            execute(turn)

    return Adapter("nuke", wake)


def _blender(turn: Turn) -> Optional[Adapter]:
    """Blender: a timer that looks for calls, since its timers are not for other threads to add."""
    app = _attribute("bpy", "app")
    if app is None or app.background:
        return None

    def look() -> float:
        turn()
        return POLL

    def close() -> None:
        if app.timers.is_registered(look):
            app.timers.unregister(look)

    app.timers.register(look, first_interval=0.0, persistent=True)
    return Adapter("blender", _nothing, close=close)


def _qt(turn: Turn) -> Optional[Adapter]:
    for binding in ("PySide6", "PySide2", "PyQt6", "PyQt5"):
        application = _attribute(f"{binding}.QtCore", "QCoreApplication")
        if application is not None and application.instance() is not None:
            from .qt import qt_adapter

            return qt_adapter(sys.modules[f"{binding}.QtCore"], turn)
    return None


def _tk(turn: Turn) -> Optional[Adapter]:
    if _attribute("tkinter", "_default_root") is None:
        return None
    from .tk import tk_adapter

    return tk_adapter(sys.modules["tkinter"], turn)


#: The asyncio loop that the main thread was last seen to run.
_loop: Optional[asyncio.AbstractEventLoop] = None


def note_loop() -> None:
    """Remember the asyncio loop that the calling thread runs, if it does; the main thread calls."""
    global _loop  # noqa: PLW0603
    running = _attribute("asyncio", "_get_running_loop")
    loop = None if running is None else running()
    if loop is not None:
        _loop = loop


def _asyncio(turn: Turn) -> Optional[Adapter]:
    loop = _loop
    if loop is None or not loop.is_running():
        return None
    return Adapter("asyncio", lambda: loop.call_soon_threadsafe(turn), loop.is_running)


#: The adapters in the order in which they are tried. A host goes before the toolkit it is made of:
#: it knows when its scene may be touched. A loop that runs goes before windows that may not.
_KINDS: dict[str, Callable[[Turn], Optional[Adapter]]] = {
    "houdini": _houdini,
    "maya": _maya,
    "nuke": _nuke,
    "blender": _blender,
    "asyncio": _asyncio,
    "qt": _qt,
    "tk": _tk,
}

#: What is missing where an adapter cannot be made.
_ABSENT = {
    "houdini": "this is no Houdini with windows",
    "maya": "this is no Maya with windows",
    "nuke": "this is no Nuke with windows",
    "blender": "this is no Blender with windows",
    "asyncio": "the main thread runs no loop; say so in a coroutine that it runs",
    "qt": "there is no QApplication yet, of PySide6, PySide2, PyQt6 or PyQt5",
    "tk": "there is no root window yet, or tkinter was told to know of none",
}
