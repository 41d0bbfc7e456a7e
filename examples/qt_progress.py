"""A progress window: renders, builds and other long jobs tell it how far they are.

    pip install PySide6
    python examples/qt_progress.py

From whatever does the work, on this machine:

    curl -d cmd_function=job.progress -d name=shot_010 -d percent=40 http://127.0.0.1:8008/api

``http://127.0.0.1:8008/`` shows the window as a picture. Widgets belong to the thread of the
application: ``main_thread=True`` has the functions called there.
"""

import sys

from PySide6.QtCore import QBuffer
from PySide6.QtWidgets import QApplication, QFormLayout, QProgressBar, QWidget

import hwebserver

application = QApplication(sys.argv)
window = QWidget(windowTitle="Progress", minimumWidth=420)
rows = QFormLayout(window)
bars = {}


@hwebserver.apiFunction("job", arg_types={"percent": int}, main_thread=True)
def progress(request, name, percent):
    if name not in bars:
        bars[name] = QProgressBar(window)
        rows.addRow(name, bars[name])
    bars[name].setValue(percent)


@hwebserver.urlHandler("/", methods=["GET"], main_thread=True)
def picture(request):
    buffer = QBuffer()
    window.grab().save(buffer, "PNG")
    return hwebserver.Response(bytes(buffer.data()), content_type="image/png")


if __name__ == "__main__":
    window.show()
    hwebserver.run(in_background=True)
    sys.exit(application.exec())
