"""HTTP as bytes in, events and bytes out: no socket, thread, file, clock or logging in here."""
