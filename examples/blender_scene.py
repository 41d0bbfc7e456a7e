"""A Blender that other programs ask for its objects, and have render.

In Blender's Text Editor: open this file and press Run Script, with hwebserver's folder in a place
that Blender's Python imports from (its scripts/modules). Or without a window:

    blender --background scene.blend --python examples/blender_scene.py

Then, from another terminal:

    curl http://127.0.0.1:8008/objects
    curl -d cmd_function=scene.move -d name=Cube -d z=2 http://127.0.0.1:8008/api
    curl -d cmd_function=scene.render -d path=/tmp/still.png http://127.0.0.1:8008/api

Blender's data belongs to its main thread. With a window, a timer of Blender runs the functions
there; in the background there are no timers, and ``run`` itself does.
"""

import bpy

import hwebserver


@hwebserver.urlHandler("/objects", methods=["GET"], main_thread=True)
def objects(request):
    return {one.name: list(one.location) for one in bpy.context.scene.objects}


@hwebserver.apiFunction("scene", arg_types={"x": float, "y": float, "z": float}, main_thread=True)
def move(request, name, x=0, y=0, z=0):
    found = bpy.data.objects.get(name)
    if found is None:
        raise hwebserver.APIError(f"there is no object {name!r}")
    found.location = (x, y, z)


@hwebserver.apiFunction("scene", main_thread=True)
def render(request, path):
    bpy.context.scene.render.filepath = path
    bpy.ops.render.render(write_still=True)
    return path


if __name__ == "__main__":
    hwebserver.run(port=8008, in_background=not bpy.app.background)
