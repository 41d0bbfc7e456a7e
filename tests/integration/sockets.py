"""WebSockets for tests of clients, and a page whose script has one open."""

from __future__ import annotations

import hwebserver

PAGE = """<!DOCTYPE html><link rel="icon" href="data:,"><title>Sockets</title>
<p id="extensions"></p><ol id="answers"></ol><p id="news"></p><p id="end"></p>
<script>
  const show = (id, text) => { document.getElementById(id).textContent = text; };
  const echo = new WebSocket(`ws://${location.host}/echo`);
  echo.binaryType = "arraybuffer";
  const large = "größer ".repeat(150000);
  const describe = data => {
    if (data instanceof ArrayBuffer) return `bytes ${new Uint8Array(data).join(" ")}`;
    return data === large ? "as large as it was" : data;
  };
  echo.onopen = () => {
    show("extensions", echo.extensions);
    for (const message of ["one", "zwei — 二", "", new Uint8Array([0, 255, 7]), large, "last"])
      echo.send(message);
  };
  echo.onmessage = event => {
    const item = document.createElement("li");
    item.textContent = describe(event.data);
    document.getElementById("answers").append(item);
    if (event.data === "last") echo.close(4000, "enough");
  };
  echo.onclose = event => show("end", `${event.code} ${event.wasClean}`);
  const news = new WebSocket(`ws://${location.host}/news`);
  news.onmessage = event => show("news", event.data);
  // Else a browser may keep the page as it is, to come back to it, and its socket open.
  addEventListener("pagehide", () => news.close());
</script>
"""


@hwebserver.urlHandler("/", methods=["GET"])
def page(request):
    return PAGE


@hwebserver.webSocket("/echo")
class Echo(hwebserver.WebSocket):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(bytes_data if text_data is None else text_data)

    async def disconnect(self, code):
        print("the echo ended with", code, flush=True)


# Plain functions, and the older signatures.
@hwebserver.webSocket("/close")
class Close(hwebserver.WebSocket):
    def connect(self):
        self.accept()

    def receive(self, message):
        self.close(int(message), "as asked")


@hwebserver.webSocket("/closed")
class Closed(hwebserver.WebSocket):
    async def connect(self, req):
        await self.close()


@hwebserver.webSocket("/news")
class News(hwebserver.WebSocket):
    pass


@hwebserver.urlHandler("/news", methods=["POST"])
def publish(request):
    return hwebserver.broadcast("/news", request.body().decode())


@hwebserver.urlHandler("/news/readers", methods=["GET"])
def readers(request):
    return len(hwebserver.webSockets("/news"))


@hwebserver.webSocket("/versioned")
class Versioned(hwebserver.WebSocket):
    async def connect(self, req):
        await self.accept("notes.v2")
        await self.send("speaking notes.v2")
