"""Sockets and threads: knows protocol/, is handed an application, never imports web/."""
