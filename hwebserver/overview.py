"""The settings of every port and who set them, as text for people."""

from __future__ import annotations

from collections.abc import Mapping

from .option import shown
from .ports import RunPorts, further_ports
from .settings import DEFAULT, MAIN_PORT, OPTIONS, Said, Settings

#: Values that are longer than this do not push the others' sources to the right.
_WIDEST = 40


def describe(settings: Settings, ports: RunPorts) -> str:
    """Return every option of every port, those that somebody has set first.

    Args:
        settings: The settings.
        ports: The ``ports`` argument of ``run``.

    Raises:
        OperationFailed: a setting is wrong.
    """
    main = settings.explain(MAIN_PORT)
    texts = [_port_text("main port", main)]
    opened = dict(further_ports(settings, ports, main["PORT"].value))
    for name, number in opened.items():
        said = settings.explain(name)
        if number is not None:
            said["PORT"] = Said(number, "run(ports=...)")
        texts.append(_port_text(f"port {name!r}", said))
    for name in settings.port_names():
        if name not in opened and name != str(main["PORT"].value):
            title = f"port {name!r}, which is not in the ports of run and not opened"
            texts.append(_port_text(title, settings.explain(name)))
    return "\n\n".join(texts)


def _port_text(title: str, said: Mapping[str, Said]) -> str:
    """Return the lines of one port."""
    told = {name: one for name, one in said.items() if not OPTIONS[name].alias_of}
    given = [_line(name, one) for name, one in told.items() if one.source != DEFAULT]
    rest = [_line(name, one) for name, one in told.items() if one.source == DEFAULT]
    heading = [f"{title}: {len(given)} set, {len(rest)} by default"]
    return "\n".join([*heading, *given, *([""] if given else []), *rest])


def _line(name: str, one: Said) -> str:
    width = max(len(known) for known in OPTIONS)
    value = shown(OPTIONS[name], one.value)
    if one.source == DEFAULT:
        return f"  {name.ljust(width)} = {value}"
    return f"* {name.ljust(width)} = {value.ljust(_WIDEST)}  # {one.source}"
