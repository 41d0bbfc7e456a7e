"""Sections of operator definitions, read from the host (Houdini's ``opdef:`` paths).

``/opdef/Object/geo?Help`` is the section ``Help`` of the definition of the node type ``geo`` in the
category ``Object``. The category may also go by the name of the network that holds such nodes
(``obj``), in any case.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Optional

from ..errors import OperationFailed
from ..protocol.http1 import RequestHead
from ..protocol.paths import decode
from .mime import guess_type
from .request import Request
from .response import Response

#: The networks at the top of a scene, and the categories of what they hold.
_NETWORKS = {
    "obj": "object",
    "out": "driver",
    "ch": "chopnet",
    "img": "copnet",
    "mat": "vop",
    "shop": "shop",
    "stage": "lop",
    "tasks": "topnet",
    "vex": "vopnet",
}


class OpdefSections:
    """The sections of all node types of the host.

    Raises:
        OperationFailed: this process is no Houdini.
    """

    def __init__(self) -> None:
        if sys.modules.get("hou") is None:
            raise OperationFailed(
                "registerOpdefPath needs the module hou, which only Houdini (hython too) has: "
                "import it before"
            )

    def respond(self, request: Request, rest: Sequence[str]) -> Optional[Response]:
        """Answer a request for a section, or return None when there is none.

        Args:
            request: The request; its query names the section.
            rest: The segments of its path behind the prefix: the category and the node type.
        """
        name = decode(request.queryString())
        section = self._sections(rest).get(name)
        if section is None:
            return None
        # An older host has no binaryContents, and a text for all that it has.
        data = getattr(section, "binaryContents", section.contents)()
        return Response(data, 200, _kind_of(name, data))

    def again(self, head: RequestHead, rest: Sequence[str]) -> None:
        """Say that nothing is remembered for the next request; see ``StaticDirectory.again``."""

    def find(self, rest: Sequence[str]) -> Optional[Any]:
        """Return the definition of a node type, None when it has none."""
        hou: Any = sys.modules.get("hou")
        if hou is None or len(rest) < 2:
            return None
        wanted = _NETWORKS.get(rest[0].lower(), rest[0].lower())
        for category_name, category in hou.nodeTypeCategories().items():
            if category_name.lower() == wanted:
                node_type = category.nodeTypes().get("/".join(rest[1:]))
                return None if node_type is None else node_type.definition()
        return None

    def _sections(self, rest: Sequence[str]) -> dict[str, Any]:
        definition = self.find(rest)
        return {} if definition is None else dict(definition.sections())


def _kind_of(name: str, data: Any) -> str:
    """Return the type of a section; most have no ending, and are text."""
    if "." in name:
        return guess_type(name)
    try:
        if not isinstance(data, str):
            bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "text/plain"
