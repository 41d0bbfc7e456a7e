"""The numbers that have names in the API."""

from __future__ import annotations

from enum import IntEnum


class Verbosity(IntEnum):
    """How much a server says: startup and errors; a line a request; header fields and timing."""

    Low = 0
    Medium = 1
    High = 2


class Severity(IntEnum):
    """How grave a message is."""

    MessageSeverity = 0
    PromptSeverity = 1
    WarningSeverity = 2
    AbortSeverity = 3
    FatalSeverity = 4


class HTTPStatus(IntEnum):
    """Status codes by the names that the original module has for them."""

    Null = 0
    Continue = 100
    SwitchProtocol = 101
    Ok = 200
    Created = 201
    Accepted = 202
    NonAuthoritativeInfo = 203
    NoContent = 204
    ResetContent = 205
    PartitionContent = 206
    MultipleChoice = 300
    MovedPermanently = 301
    Found = 302
    SeeOther = 303
    NotModified = 304
    TempRedirect = 307
    PermRedirect = 308
    BadRequest = 400
    Unauthorized = 401
    PaymentRequired = 402
    Forbidden = 403
    NotFound = 404
    MethodNotAllowed = 405
    NotAcceptable = 406
    ProxyAuthRequired = 407
    RequestTimeout = 408
    Conflict = 409
    Gone = 410
    LengthRequired = 411
    PreconditionFailed = 412
    PayloadLarge = 413
    URITooLong = 414
    UnsupportedMedia = 415
    RangeNotSatisfiable = 416
    ExpectationFailed = 417
    UnprocessableEntity = 422
    TooEarly = 425
    UpgradeRequired = 426
    PreconditionRequired = 428
    TooManyRequests = 429
    HeaderFieldsTooLarge = 431
    LegalReasons = 451
    InternalServerError = 500
    NotImplemented = 501
    BadGateway = 502
    ServiceUnavailable = 503
    GatewayTimeout = 504
    VersionNotSupported = 505
    NetworkAuthRequired = 511
