"""A Houdini that other programs look into: its nodes, their parameters, its time line.

In Houdini's Python Shell, with hwebserver's folder in a place that it imports from:

    >>> exec(open("examples/houdini_scene.py").read())

or without a window:

    hython examples/houdini_scene.py

Then, from another terminal:

    curl "http://127.0.0.1:8008/nodes/obj"
    curl -d cmd_function=scene.setParm -d node=/obj/geo1 -d parm=tx -d value=2 http://127.0.0.1:8008/api
    curl -d cmd_function=scene.frame -d number=24 http://127.0.0.1:8008/api

The scene belongs to Houdini's main thread. With windows, its event loop runs the functions there;
in hython ``run`` itself does.
"""

import hou

import hwebserver


def find(path):
    node = hou.node(path)
    if node is None:
        raise hwebserver.APIError(f"there is no node {path}")
    return node


@hwebserver.urlHandler("/nodes/{path:path}", methods=["GET"], main_thread=True)
def nodes(request, path):
    node = hou.node("/" + path)
    if node is None:
        return hwebserver.notFoundResponse(request)
    return {child.name(): child.type().name() for child in node.children()}


@hwebserver.apiFunction("scene", arg_types={"value": float}, main_thread=True)
def setParm(request, node, parm, value):
    with hou.undos.group("Set a parameter by HTTP"):
        find(node).parm(parm).set(value)


@hwebserver.apiFunction("scene", arg_types={"number": int}, main_thread=True)
def frame(request, number):
    hou.setFrame(number)
    return hou.frame()


if __name__ == "__main__":
    hwebserver.run(port=8008, in_background=hou.isUIAvailable())
