"""Qt, whichever of its bindings: an event that is posted to an object of the main thread."""

from __future__ import annotations

from typing import Any

from .adapters import Adapter, Turn


def qt_adapter(core: Any, turn: Turn) -> Adapter:
    """Return what reaches the thread of the application; any thread may post it an event.

    Args:
        core: The module QtCore of the binding.
        turn: What that thread is to call.
    """
    application = core.QCoreApplication

    class Receiver(core.QObject):  # type: ignore[misc]
        """What the events are for."""

        def customEvent(self, event: Any) -> None:
            """Take an event; Qt calls this on the thread of the application."""
            turn()

    receiver = Receiver()
    receiver.moveToThread(application.instance().thread())

    def wake() -> None:
        application.postEvent(receiver, core.QEvent(core.QEvent.Type.User))

    def is_usable() -> bool:
        return application.instance() is not None

    return Adapter("qt", wake, is_usable, receiver.deleteLater)
