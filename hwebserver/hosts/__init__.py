"""The application that the server lives in."""
