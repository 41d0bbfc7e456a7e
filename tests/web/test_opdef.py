"""Sections of node types' definitions, with a stand-in for the host's module."""

from __future__ import annotations

import sys
import types

import pytest
from support import fetch, running

import hwebserver
from hwebserver import OperationFailed


class Section:
    """A section that holds text or bytes, as ``hou.HDASection`` does."""

    def __init__(self, data) -> None:
        self._data = data

    def contents(self) -> str:
        return self._data if isinstance(self._data, str) else self._data.decode("utf-8")

    def binaryContents(self) -> bytes:
        return self._data.encode() if isinstance(self._data, str) else self._data


class OldSection:
    """A section of a host that knows text alone."""

    def __init__(self, data: str) -> None:
        self._data = data

    def contents(self) -> str:
        return self._data


class NodeType:
    """A node type; built-in ones have no definition."""

    def __init__(self, sections=None) -> None:
        self._sections = sections

    def definition(self):
        return None if self._sections is None else self

    def sections(self):
        return self._sections


class Category:
    """The node types of one kind of network."""

    def __init__(self, node_types) -> None:
        self._node_types = node_types

    def nodeTypes(self):
        return self._node_types


GEO = {
    "Help": Section("= Geometry =\n\n\u00fcber"),
    "empty": Section(""),
    "Icon.svg": Section("<svg/>"),
    "page.html": Section("<p>page</p>"),
    "Contents": Section(b"\x00\xff\xfe"),
    "a b&c=d+e%": Section("odd name"),
    "dir/inner": Section("inner"),
}


OTHERS = ["Sop", "Driver", "Chop", "ChopNet", "CopNet", "Vop", "VopNet", "Shop", "Lop", "TopNet"]


@pytest.fixture
def hou(monkeypatch):
    """The module of a host without a user interface."""
    module = types.ModuleType("hou")
    categories = {
        "Object": Category(
            {
                "geo": NodeType(GEO),
                "cam": NodeType(),
                "me::rig::1.0": NodeType({"Help": Section("rig")}),
                "Sop/inner": NodeType({"Help": Section("scoped")}),
                "old": NodeType({"Help": OldSection("old \u00fc"), "a.bin": OldSection("x")}),
            }
        ),
        **{name: Category({"node": NodeType({"Help": Section(name)})}) for name in OTHERS},
    }
    module.nodeTypeCategories = lambda: categories
    module.isUIAvailable = lambda: False
    monkeypatch.setitem(sys.modules, "hou", module)
    return module


@pytest.fixture
def serving(server, hou):
    """A server of all node types."""
    server.registerOpdefPath()
    return server


def test_a_section_is_served_under_the_network_and_under_the_category(serving):
    with running(serving):
        for path in ("/opdef/obj/geo?Help", "/opdef/Object/geo?Help", "/opdef/OBJECT/geo?Help",
                     "/opdef/Obj/geo?Help", "/opdef/obj/geo/?Help"):  # fmt: skip
            answer = fetch(serving, path)
            assert (path, answer.status, answer.text) == (path, 200, "= Geometry =\n\n\u00fcber")
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("network", "category"),
    [("out", "Driver"), ("ch", "ChopNet"), ("img", "CopNet"), ("mat", "Vop"), ("shop", "Shop"),
     ("stage", "Lop"), ("tasks", "TopNet"), ("vex", "VopNet"), ("sop", "Sop"), ("chop", "Chop")],
)  # fmt: skip
def test_a_network_stands_for_the_category_of_what_it_holds(serving, network, category):
    with running(serving):
        assert fetch(serving, f"/opdef/{network}/node?Help").text == category
        assert fetch(serving, f"/opdef/{category}/node?Help").text == category


def test_names_of_types_may_have_a_name_space_a_version_and_a_network(serving):
    with running(serving):
        assert fetch(serving, "/opdef/obj/me::rig::1.0?Help").text == "rig"
        assert fetch(serving, "/opdef/obj/me%3A%3Arig%3A%3A1.0?Help").text == "rig"
        assert fetch(serving, "/opdef/obj/Sop/inner?Help").text == "scoped"


def test_a_section_is_of_the_type_that_its_name_or_its_content_says(serving):
    with running(serving):
        for name, kind, body in (
            ("Icon.svg", "image/svg+xml", b"<svg/>"),
            ("page.html", "text/html; charset=utf-8", b"<p>page</p>"),
            ("Contents", "application/octet-stream", b"\x00\xff\xfe"),
            ("empty", "text/plain; charset=utf-8", b""),
        ):
            answer = fetch(serving, f"/opdef/obj/geo?{name}")
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["Content-Type"] == kind


def test_the_name_of_a_section_is_decoded_once_and_is_all_of_the_query(serving):
    with running(serving):
        assert fetch(serving, "/opdef/obj/geo?a%20b&c=d+e%25").text == "odd name"
        assert fetch(serving, "/opdef/obj/geo?a%20b%26c%3Dd%2Be%25").text == "odd name"
        assert fetch(serving, "/opdef/obj/geo?dir/inner").text == "inner"
        assert fetch(serving, "/opdef/obj/geo?H%65lp").status == 200
        assert fetch(serving, "/opdef/obj/geo?H%2565lp").status == 404


def test_a_host_that_knows_text_alone_is_served_as_text(serving):
    with running(serving):
        assert fetch(serving, "/opdef/obj/old?Help").text == "old \u00fc"
        assert (
            fetch(serving, "/opdef/obj/old?Help").headers["Content-Type"].startswith("text/plain")
        )
        assert fetch(serving, "/opdef/obj/old?a.bin").body == b"x"


def test_what_is_not_there_is_not_found(serving):
    with running(serving):
        for path in ("/opdef", "/opdef/", "/opdef?Help", "/opdef/obj", "/opdef/obj?Help",
                     "/opdef/obj/none?Help", "/opdef/none/geo?Help", "/opdef/obj/geo",
                     "/opdef/obj/geo?", "/opdef/obj/geo?help", "/opdef/obj/geo?None",
                     "/opdef/obj/cam?Help", "/opdef/obj/GEO?Help", "/opdef//geo?Help",
                     "/opdef/obj/../obj/geo?Help", "/opdef/obj%2Fgeo?Help"):  # fmt: skip
            assert (path, fetch(serving, path).status) == (path, 404)


def test_head_and_other_methods_are_told_apart(serving):
    with running(serving):
        answer = fetch(serving, "/opdef/obj/geo?Icon.svg", "HEAD")
        assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "6", b"")
        assert fetch(serving, "/opdef/obj/geo?Help", "POST", body=b"x").status == 405
        assert fetch(serving, "/opdef/obj/none?Help", "POST", body=b"x").status == 404


def test_what_comes_behind_answers_where_there_is_no_section(serving):
    serving.urlHandler("/", is_prefix=True)(lambda request: "behind")
    with running(serving):
        assert fetch(serving, "/opdef/obj/geo?None").text == "behind"
        assert fetch(serving, "/opdef/obj/geo?Icon.svg").text == "<svg/>"


def test_the_prefix_and_the_port_may_be_any(server, hou):
    server.registerOpdefPath("/help/types", "docs")
    with running(server, ports=[("docs", 0)]):
        assert fetch(server, "/help/types/obj/geo?Icon.svg", port="docs").text == "<svg/>"
        assert fetch(server, "/help/types/obj/geo?Icon.svg").status == 404
        assert fetch(server, "/opdef/obj/geo?Icon.svg", port="docs").status == 404
    with pytest.raises(OperationFailed):
        server.registerOpdefPath(port=1.5)


def test_definitions_are_read_at_each_request(serving, hou):
    with running(serving):
        assert fetch(serving, "/opdef/sop/node?Help").text == "Sop"
        hou.nodeTypeCategories()["Sop"].nodeTypes()["node"] = NodeType({"Help": Section("new")})
        assert fetch(serving, "/opdef/sop/node?Help").text == "new"
        del hou.nodeTypeCategories()["Sop"]
        assert fetch(serving, "/opdef/sop/node?Help").status == 404


def test_a_host_that_fails_costs_one_answer(serving, hou, caplog):
    def fail():
        raise RuntimeError("the session is locked")

    categories, hou.nodeTypeCategories = hou.nodeTypeCategories, fail
    with running(serving):
        assert fetch(serving, "/opdef/obj/geo?Help").status == 500
        hou.nodeTypeCategories = categories
        assert fetch(serving, "/opdef/obj/geo?Help").status == 200
    assert "the session is locked" in caplog.text


@pytest.mark.parametrize("state", ["missing", "blocked"])
def test_without_the_host_the_registration_fails_and_says_so(server, monkeypatch, state):
    monkeypatch.delitem(sys.modules, "hou", raising=False)
    if state == "blocked":
        monkeypatch.setitem(sys.modules, "hou", None)
    for register in (server.registerOpdefPath, hwebserver.registerOpdefPath):
        with pytest.raises(OperationFailed, match="hou, which only Houdini"):
            register()
    with running(server):
        assert fetch(server, "/opdef/obj/geo?Help").status == 404


def test_a_host_that_has_gone_has_nothing(serving, monkeypatch):
    with running(serving):
        monkeypatch.delitem(sys.modules, "hou")
        assert fetch(serving, "/opdef/obj/geo?Help").status == 404
