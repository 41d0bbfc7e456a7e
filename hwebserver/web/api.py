"""Remote calls: functions that clients call by POST to ``/api``.

A call names a function and gives its arguments, as a form or as JSON. What is wrong with a call is
told in one sentence that names the function and the argument, with status 422; what is wrong with
a function is a 500.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, NamedTuple, Optional

from ..errors import APIError, HTTPError, UnsendableError
from ..protocol.headers import media_type, quality_values
from .onmain import OnMain, is_coroutine_function, on_main_thread
from .pages import error_json, error_page
from .request import Request
from .response import Response
from .uploads import UploadedFile

#: Where API functions are called.
API_PATH = "/api"

_TRUTH = {
    "1": True, "true": True, "yes": True, "on": True,
    "0": False, "false": False, "no": False, "off": False, "": False,
}  # fmt: skip

_JSON = "application/json"

#: What is not to become a text or a truth value, though anything can.
_NO_SCALARS = (list, dict, type(None), UploadedFile)


class CallError(Exception):
    """A call that cannot be made as the client asked; the message is for the client.

    Args:
        message: What is wrong.
        status: The HTTP status code of the answer.
    """

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


class APIFunction:
    """A function that clients may call.

    Args:
        name: The name they call it by, with its namespace.
        function: Called with the request and their arguments.
        ports: The keys of the ports it can be called on.
        return_binary: Whether its result is sent as it is, not as JSON.
        arg_types: Argument name to type: arguments that are no such thing are converted.
        json_default: Makes JSON of what is none, as for ``json.dumps``.
        main_thread: Whether it is called on the host's main thread.

    Attributes:
        owner: The name of the module that has registered it; empty: none has.

    Raises:
        OperationFailed: it is to be called there, and is a coroutine function.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        ports: frozenset[str],
        *,
        return_binary: bool = False,
        arg_types: Optional[Mapping[str, Callable[[Any], Any]]] = None,
        json_default: Optional[Callable[[Any], Any]] = None,
        main_thread: bool = False,
    ) -> None:
        self.owner = ""
        self.name = name
        self.function = function
        self.ports = ports
        self.is_coroutine = is_coroutine_function(function)
        self.main_thread = main_thread and bool(on_main_thread(function))
        self._return_binary = return_binary
        self._arg_types = dict(arg_types or {})
        self._json_default = json_default
        from .jsontext import write_json  # once, and not at each call: that costs 0.9 us

        self._write_json = write_json
        self._inspect()

    def _inspect(self) -> None:
        import inspect

        function = self.function
        self._signature: Optional[inspect.Signature]
        try:
            # What a decorator wraps says nothing about how the wrapper is to be called.
            self._signature = inspect.signature(function, follow_wrapped=False)
        except (TypeError, ValueError):
            self._signature = None
        parameters = self._signature.parameters.values() if self._signature else ()
        self._may_be_none = {one.name for one in parameters if one.default is None}
        # Of a function whose parameters are all plain ones: their names behind the request, and
        # those that must be given.
        self._names: Optional[set[str]] = None
        plain = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
        if plain and len(plain) == len(parameters):
            self._names = {one.name for one in plain[1:]}
            self._needed = {one.name for one in plain[1:] if one.default is one.empty}

    @property
    def target(self) -> Callable[..., Any]:
        """The function."""
        return self.function

    def to(self, target: Callable[..., Any]) -> APIFunction:
        """Return one that is the same, but for what is called."""
        from copy import copy

        other = copy(self)
        other.function = target
        other._inspect()
        return other

    def call(self, request: Request, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call the function.

        Raises:
            CallError: the arguments are not those of the function.
            Exception: whatever the function raises.
        """
        if self._arg_types:
            kwargs = {
                name: self._convert(name, value) if name in self._arg_types else value
                for name, value in kwargs.items()
            }
        arguments: tuple[Any, ...] = (request, *args)
        if self._signature is not None and not self._obviously_fit(args, kwargs):
            try:
                bound = self._signature.bind(*arguments, **kwargs)
            except TypeError as error:
                raise CallError(f"{self.name}: {error}") from error
            for name in self._arg_types:
                if name in bound.arguments and name not in kwargs:
                    bound.arguments[name] = self._convert(name, bound.arguments[name])
            arguments, kwargs = bound.args, bound.kwargs
        try:
            return self.function(*arguments, **kwargs)
        except TypeError as error:
            if _did_not_fit(self.function, error):
                raise CallError(f"{self.name}: {error}") from error
            raise

    def _obviously_fit(self, args: list[Any], kwargs: dict[str, Any]) -> bool:
        """Say whether arguments fit, and need no conversion, without a closer look.

        ``Signature.bind`` takes that look; it costs 8 us and is mostly not needed.
        """
        names = self._names
        if names is None:
            return False
        if not args:
            return self._needed <= kwargs.keys() <= names
        by_place = not kwargs and not self._arg_types
        return by_place and len(self._needed) <= len(args) <= len(names)

    def _convert(self, name: str, value: Any) -> Any:
        """Make of an argument what its type says."""
        kind = self._arg_types[name]
        if value is None and name in self._may_be_none:
            return None
        try:
            return convert(value, kind)
        except Exception as error:
            wanted = getattr(kind, "__name__", str(kind))
            shown = repr(value) if len(repr(value)) < 80 else repr(value)[:76] + "..."
            raise CallError(
                f"{self.name}: the argument {name!r} is {shown}, which is no {wanted}"
            ) from error

    def respond(self, result: Any) -> Response:
        """Return the response for what the function returned.

        Raises:
            UnsendableError: JSON cannot hold it, or it is not binary as promised.
        """
        if isinstance(result, Response):
            return result
        text = self._return_binary and isinstance(result, str)
        if isinstance(result, (bytes, bytearray, memoryview)) or text:
            return Response(result, 200, "application/octet-stream")
        if self._return_binary:
            kind = type(result).__name__
            raise UnsendableError(f"{self.name} returns {kind}, but return_binary sends bytes")
        return Response(self._write_json(result, self._json_default), 200, _JSON)


def convert(value: Any, kind: Callable[[Any], Any]) -> Any:
    """Return a value as the type that was asked for.

    Text says a truth value as people write it (``true``, ``0``, ``off``), and a list or a dict in
    JSON; a number with a fraction is no int.

    Raises:
        Exception: it cannot be one.
    """
    number_from_truth = isinstance(value, bool) and kind is int
    if isinstance(kind, type) and isinstance(value, kind) and not number_from_truth:
        return value
    if kind is bool and isinstance(value, str):
        return _TRUTH[value.strip().lower()]
    if kind in (list, dict) and isinstance(value, str):
        from .jsontext import parse_json

        value = parse_json(value.encode())
        if not isinstance(value, kind):
            raise ValueError("it is JSON of another type")
        return value
    if kind in (int, float, str, bool) and isinstance(value, _NO_SCALARS):
        raise TypeError("it is of another type")
    converted = kind(value)
    if kind is int and isinstance(value, float) and converted != value:
        raise ValueError("it has a fraction")
    return converted


def _did_not_fit(function: Callable[..., Any], error: TypeError) -> bool:
    """Say whether a TypeError means that a decorator could not pass the arguments on.

    Such an error is raised at a call, in a wrapper, before the wrapped function has begun; and
    neither with the request nor without do the arguments fit that function.
    """
    import inspect

    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    if inner is function or code is None or f"{code.co_name}()" not in str(error):
        return False
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is code:
            return False
        trace = trace.tb_next
    return True


class Call(NamedTuple):
    """What a client asks for."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]


def read_call(request: Request, parse_json: Callable[[bytes], Any]) -> Call:
    """Return the call that a request makes.

    Args:
        request: The request.
        parse_json: Reads JSON, as in ``jsontext``.

    Raises:
        CallError: it makes none.
    """
    kind = request.contentType()
    if kind != _JSON:
        kind, _ = media_type(kind)
    if kind == _JSON:
        request.check_size(request.site.max_json_size, "JSON")
        return _parse_call(request.body(), "the body", parse_json)
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data", ""):
        raise CallError(
            f"a call is a form or application/json, and this server cannot read {kind} for it", 415
        )
    form = request.POST()
    if "json" in form:
        call = _parse_call(form["json"].encode("utf-8"), "the field 'json'", parse_json)
    else:
        name = form.pop("cmd_function", None)
        if name is None:
            raise CallError("a call has a field 'cmd_function' or 'json'")
        call = Call(name, [], dict(form))
    return _with_files(call, request)


def _with_files(call: Call, request: Request) -> Call:
    """Return a call whose arguments are also the files of its form.

    Raises:
        CallError: an argument is given twice.
    """
    files = request.files()
    for name in files:
        if name in call.kwargs or len(request.filesList(name)) > 1:
            raise CallError(f"{call.name}: the argument {name!r} is given twice")
    return call._replace(kwargs={**call.kwargs, **files}) if files else call


def _parse_call(text: bytes, where: str, parse_json: Callable[[bytes], Any]) -> Call:
    try:
        data = parse_json(text)
    except ValueError as error:
        raise CallError(f"{where} is not JSON: {error}") from error
    if not (
        isinstance(data, list)
        and len(data) == 3
        and isinstance(data[0], str)
        and isinstance(data[1], list)
        and isinstance(data[2], dict)
    ):
        raise CallError(f'{where} is not of the form ["function", [arguments], {{names: values}}]')
    return Call(*data)


class API:
    """The functions of a server, and the handler of ``/api``.

    Attributes:
        decides_thread: Says that ``handle`` knows by itself which thread it needs.
    """

    decides_thread = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: dict[str, tuple[APIFunction, ...]] = {}

    def add(self, function: APIFunction) -> None:
        """Register a function; it replaces one of that name and those ports."""
        from .jsontext import parse_json  # as in ``APIFunction``

        self._parse_json = parse_json
        with self._lock:
            others = self._functions.get(function.name, ())
            new = (function.ports, function.owner)
            # Another module's stays behind it: this one may be gone when its module is reloaded.
            kept = tuple(one for one in others if (one.ports, one.owner) != new)
            self._functions[function.name] = (function, *kept)

    def __iter__(self) -> Iterator[APIFunction]:
        """Yield all functions."""
        with self._lock:
            found = list(self._functions.values())
        for functions in found:
            yield from functions

    def renewed(self, renew: Callable[[APIFunction], Optional[APIFunction]]) -> API:
        """Return another one, with what a function makes of each of the functions."""
        other = API()
        for function in reversed(list(self)):  # of one name the newest comes first
            renewed = renew(function)
            if renewed is not None:
                other.add(renewed)
        return other

    def has_functions(self, ports: frozenset[str]) -> bool:
        """Say whether a function was registered for these very ports."""
        return any(function.ports == ports for function in self)

    def find(self, name: str, ports: frozenset[str]) -> APIFunction:
        """Return the function of a name on a port.

        Raises:
            CallError: there is none.
        """
        for function in self._functions.get(name, ()):
            if not ports.isdisjoint(function.ports):
                return function
        raise CallError(f"there is no API function {name!r}")

    def handle(self, request: Request) -> Any:
        """Answer a call; what the function raises, other than an APIError, goes on.

        Returns a response, a coroutine that will return it, or what is to be called on the main
        thread first.
        """
        try:
            call = read_call(request, self._parse_json)
            function = self.find(call.name, request.port_keys)
            everything = request.site.all_on_main_thread and not function.is_coroutine
            if function.main_thread or everything:
                return _call_on_main(request, function, call)
            result = function.call(request, call.args, call.kwargs)
            if hasattr(result, "__await__"):
                return _respond_later(request, function, result)
            return function.respond(result)
        except _REFUSALS as error:
            return _refuse(request, error)


def _call_on_main(request: Request, function: APIFunction, call: Call) -> OnMain:
    """Return what calls a function on the main thread, and answers on a worker."""

    def then(result: Any, error: Optional[BaseException]) -> Response:
        try:
            if error is not None:
                raise error
            return function.respond(result)
        except _REFUSALS as refused:
            return _refuse(request, refused)

    return OnMain(lambda: function.call(request, call.args, call.kwargs), then)


async def _respond_later(
    request: Request, function: APIFunction, result: Awaitable[Any]
) -> Response:
    """Answer a call of a coroutine function."""
    try:
        return function.respond(await result)
    except _REFUSALS as error:
        return _refuse(request, error)


#: What an API function may raise to refuse a call.
_REFUSALS = (CallError, APIError, HTTPError)


def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, APIError):
        return refusal(request, error.status_code, error.message)
    status = error.status if isinstance(error, (CallError, HTTPError)) else 500
    return refusal(request, status, str(error))


def refusal(request: Request, status: int, error: Any) -> Response:
    """Return an error as API clients expect it: JSON, but for browsers that show a page."""
    weights = quality_values(request.headers().get("accept") or "")
    if weights.get("text/html", 0.0) > 0:
        return error_page(status, str(error))
    try:
        return error_json(status, error)
    except (TypeError, ValueError):
        return error_json(status, str(error))
