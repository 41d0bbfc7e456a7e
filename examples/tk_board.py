"""A notice board: a Tk window that other programs of this machine write on.

    python examples/tk_board.py

While the window is open, put something up from another terminal, or take everything down:

    curl -d cmd_function=board.put -d "text=Lunch is ready" http://127.0.0.1:8008/api
    curl -d cmd_function=board.clear http://127.0.0.1:8008/api

Widgets belong to the thread that runs the main loop: ``main_thread=True`` has the functions called
there.
"""

import tkinter

import hwebserver

window = tkinter.Tk()
window.title("Notice board")
notices = tkinter.Listbox(window, width=50, height=12, font=("TkDefaultFont", 16))
notices.pack(fill="both", expand=True, padx=12, pady=12)


@hwebserver.apiFunction("board", main_thread=True)
def put(request, text):
    notices.insert("end", text)
    notices.see("end")
    return notices.size()


@hwebserver.apiFunction("board", main_thread=True)
def clear(request):
    notices.delete(0, "end")


@hwebserver.urlHandler("/", methods=["GET"], main_thread=True)
def index(request):
    return list(notices.get(0, "end"))


if __name__ == "__main__":
    hwebserver.run(in_background=True)
    window.mainloop()
