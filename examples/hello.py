"""The smallest program: two pages and a function that clients may call.

    python -m hwebserver examples/hello.py

Open the address it prints; or call the function:

    curl -d cmd_function=hello.add -d x=2 -d y=3 http://127.0.0.1:8008/api
"""

from html import escape

import hwebserver


@hwebserver.urlHandler("/")
def index(request):
    return "<h1>Hello, world!</h1><p>Try <a href='/hello/Ada'>/hello/Ada</a>.</p>"


@hwebserver.urlHandler("/hello/{name}", methods=["GET"])
def hello(request, name):
    return f"<h1>Hello, {escape(name)}!</h1>"


@hwebserver.apiFunction("hello", arg_types={"x": float, "y": float})
def add(request, x, y=0):
    return x + y


if __name__ == "__main__":
    hwebserver.run()
