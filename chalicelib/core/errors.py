"""The error tree: what can go wrong, as the core says it. Dialects give each its status and envelope.

BelfryError
├── Invalid          a field has a value that is not allowed; `details` names each
├── BadRequest       the request as a whole cannot be read
├── Unauthorized     no or bad credentials
├── Forbidden        too little a role
│   └── WrongToken   no or a wrong completion token
├── NotFound         no such thing
├── Conflict         not in the present state
├── TooLarge         the body is over the limit
├── UnsupportedMediaType  the body is of a kind no route takes
├── MethodNotAllowed the path is known, the method on it is not
├── Unavailable      another service that was asked did not answer
└── ActionError      an attempt failed; `permanent` says that another would too
"""

from __future__ import annotations

from typing import NamedTuple


class Detail(NamedTuple):
    """One wrong field: its dotted name, and what is wanted."""

    field: str
    issue: str


class BelfryError(Exception):
    """The root. `str(error)` is a sentence for the caller."""


class Invalid(BelfryError, ValueError):
    """One or more fields are wrong. A ValueError too, so that pydantic gathers it with its own."""

    def __init__(self, *details: Detail) -> None:
        self.details = details
        super().__init__("; ".join(f"{field}: {issue}" for field, issue in details))

    @classmethod
    def one(cls, field: str, issue: str) -> Invalid:
        return cls(Detail(field, issue))


class BadRequest(BelfryError):
    """The body is no JSON object, or the like."""


class Unauthorized(BelfryError):
    def __init__(self, message: str = "Authentication required") -> None:
        super().__init__(message)


class Forbidden(BelfryError):
    def __init__(self, role: str) -> None:
        self.role = role
        super().__init__(f"Requires {role} role or higher")


class WrongToken(Forbidden):
    def __init__(self) -> None:
        BelfryError.__init__(self, "this is not the completion token that the run's target was given")


class NotFound(BelfryError):
    def __init__(self, kind: str, key: str) -> None:
        self.kind, self.key = kind, key
        super().__init__(f"no {kind} {key!r}")


class Conflict(BelfryError):
    """What was asked does not fit the present state."""


class TooLarge(BelfryError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is over {limit} bytes")


class UnsupportedMediaType(BelfryError):
    def __init__(self, given: str) -> None:
        super().__init__(f"content type {given!r}; send application/json")


class MethodNotAllowed(BelfryError):
    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"{method} is not allowed on {path}")


class Unavailable(BelfryError):
    """Another service, a language model say, gave no answer that can be used."""


class ActionError(BelfryError):
    """An attempt failed.

    `kind` is a short stable word ("http_status", "timeout"); `permanent` is true where another
    attempt would fail the same way, and then none is made.
    """

    def __init__(self, kind: str, message: str, *, permanent: bool = False) -> None:
        self.kind, self.permanent = kind, permanent
        super().__init__(message)
