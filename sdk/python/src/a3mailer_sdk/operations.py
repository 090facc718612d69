"""An operation is written once and can be called in both ways.

In a group of a blocking client it returns its answer, in one of an async client something to await:

    class Users(Group[Way]):
        @operation
        def get(self, user_id: str) -> Call[User]:
            return Call("GET", path("users/{user_id}", user_id=user_id), User)

        iterate = iteration(list)
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from itertools import count
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from a3mailer_sdk.calls import Call
from a3mailer_sdk.records import Page


class Blocking:
    """The way of ``A3MailerClient``."""


class Awaiting:
    """The way of ``AsyncA3MailerClient``."""


Way = TypeVar("Way")
P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Sender(Protocol):
    """What carries out calls; a coroutine does in an async client."""

    is_async: bool

    def send(self, call: Call[Any]) -> Any:
        """Carry out a call."""


class Group(Generic[Way]):
    """Operations that belong together, such as ``client.users``."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender


class Operation(Generic[P, T_co]):
    """A method that says what call it is. Accessed in a group, it makes that call."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T_co]]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, group: None, owner: type) -> "Operation[P, T_co]": ...
    @overload
    def __get__(self, group: Group[Blocking], owner: type) -> Callable[P, T_co]: ...
    @overload
    def __get__(self, group: Group[Awaiting], owner: type) -> Callable[P, Awaitable[T_co]]: ...
    def __get__(self, group: Any, owner: type) -> Any:
        if group is None:
            return self
        describe = self.describe.__get__(group)

        @wraps(describe)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return group._sender.send(describe(*args, **kwargs))

        return call


class Iteration(Generic[P, T]):
    """All rows of a list, page by page. Takes what the list takes; ``page`` is where to begin."""

    def __init__(self, listing: Operation[P, Page[T]]) -> None:
        self.listing = listing
        self.__doc__ = f"{(listing.__doc__ or '').partition('.')[0]}, one by one."

    @overload
    def __get__(self, group: None, owner: type) -> "Iteration[P, T]": ...
    @overload
    def __get__(self, group: Group[Blocking], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, group: Group[Awaiting], owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, group: Any, owner: type) -> Any:
        if group is None:
            return self
        turn = self.listing.__get__(group, owner)

        def walk(*args: Any, page: int | None = None, **kwargs: Any) -> Iterator[Any]:
            for number in count(page or 1):
                found = turn(*args, page=number, **kwargs)
                yield from found.rows
                if _is_last(found):
                    return

        async def walk_async(*args: Any, page: int | None = None, **kwargs: Any) -> AsyncIterator[Any]:
            for number in count(page or 1):
                found = await turn(*args, page=number, **kwargs)
                for row in found.rows:
                    yield row
                if _is_last(found):
                    return

        return walk_async if group._sender.is_async else walk


def _is_last(page: Page[Any]) -> bool:
    return not page.rows or page.page * page.limit >= page.total


operation = Operation
iteration = Iteration
