"""Responses that send a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Optional, Union

from .pages import error_page
from .response import Response

#: Characters of a name that is saved, and of the ending in it that is kept: no common file system
#: takes a longer name, and clients refuse long header fields.
_LONGEST_NAME = 255
_LONGEST_ENDING = 32


def _without_request(function: Callable[..., Response]) -> Callable[..., Response]:
    """Let old programs pass the request first, as an old example of the vendor does."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Response:
        if arguments and hasattr(arguments[0], "pathWithQueryString"):
            arguments = arguments[1:]
        return function(*arguments, **options)

    return call


@_without_request
def fileResponse(
    file_path: Union[str, os.PathLike[str]],
    content_type: Optional[str] = None,
    delete_file: bool = False,
    download_as_filename: Optional[str] = None,
) -> Response:
    """Return a response that sends a file; one that is missing is a 404.

    Args:
        file_path: The file.
        content_type: Its type; None: guessed from its name.
        delete_file: Whether to delete the file once it was sent, or could not be.
        download_as_filename: The name under which browsers save it (RFC 6266).
    """
    from .mime import guess_type

    path = os.fspath(file_path)
    if not os.path.isfile(path):
        return error_page(404, "There is no such file.")
    response = Response(path, 200, content_type or guess_type(path), True, delete_file)
    if download_as_filename:
        response.setHeader("Content-Disposition", content_disposition(download_as_filename))
    return response


def content_disposition(file_name: str) -> str:
    """Return the field value that has a browser save a response under a name (RFC 6266 4).

    Names outside ASCII go as RFC 8187 says, beside a plain form for old clients; path separators
    and control characters become underscores. So do percent signs in the plain form, which some
    clients would decode (RFC 6266 D). What is too long for a file system is cut in front of its
    ending.
    """
    name = "".join("_" if c in '/\\"' or ord(c) < 32 or ord(c) == 127 else c for c in file_name)
    stem, ending = os.path.splitext(name)
    ending = ending[:_LONGEST_ENDING]
    name = stem[: _LONGEST_NAME - len(ending)] + ending
    plain = name.encode("ascii", "replace").decode("ascii").replace("?", "_").replace("%", "_")
    value = f'attachment; filename="{plain}"'
    if plain != name:
        from urllib.parse import quote

        value += "; filename*=UTF-8''" + quote(name, safe="", errors="replace")
    return value
