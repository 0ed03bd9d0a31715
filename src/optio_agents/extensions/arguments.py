"""The arguments of a function as JSON: their schema, and their validation. Pure.

>>> def add(a: int, b: int = 1) -> int: ...
>>> Arguments(add).values({"a": "2"})
{'a': 2, 'b': 1}
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ..journal.documents import JsonObject

PROBLEMS_TOLD = 10
"""How many things that are wrong with arguments are said at once."""


class BadArguments(Exception):
    """The arguments are not those that the function takes; the message says which, for who has given them."""


class Arguments:
    """What a function takes.

    Parameters:
        function: it.
        besides: type of a parameter that is none of the arguments: the caller fills it in.

    Attributes:
        besides: name of that parameter; None: it has none.

    Raises TypeError for a function whose arguments cannot be named, or have no type.
    """

    def __init__(self, function: Callable[..., object], besides: type[object] | None = None) -> None:
        self.besides: str | None = None
        name = getattr(function, "__name__", type(function).__name__)
        hints = get_type_hints(
            function if inspect.isroutine(function) else type(function).__call__, include_extras=True
        )
        # Under other names: a model has attributes of its own, and an argument may be called like one of them.
        fields: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f"{name}: {parameter} cannot be given by name, and an agent names each argument")
            if parameter.name not in hints:
                raise TypeError(f"{name}: say of which type {parameter.name} is")
            if besides is not None and hints[parameter.name] is besides:
                self.besides = parameter.name
                continue
            default = ... if parameter.default is parameter.empty else parameter.default
            field = f"argument_{len(fields)}"
            self._names[field] = parameter.name
            fields[field] = (hints[parameter.name], Field(default, alias=parameter.name, title=parameter.name))
        self._model: type[BaseModel] = create_model(
            name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields
        )

    def schema(self) -> JsonObject:
        """JSON schema of the arguments, as one object."""
        schema: JsonObject = self._model.model_json_schema()
        return schema

    def values(self, given: Mapping[str, object]) -> dict[str, object]:
        """The arguments to call the function with. Raises BadArguments."""
        try:
            model = self._model.model_validate(given)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
            more = len(problems) - PROBLEMS_TOLD
            told = problems[:PROBLEMS_TOLD] + ([f"and {more} more"] if more > 0 else [])
            raise BadArguments("; ".join(told)) from error
        return {name: getattr(model, field) for field, name in self._names.items()}
