"""A model API of our own on loopback: it answers the Messages API from a script, so that a real agent can be tested.

A script is data: scenarios by name, each a list of steps. `SCENARIO:name` in a user's text chooses one; which step is
told is the number of model turns since. Where no user's text names one, the system prompt may: opencode
puts files of instructions there. A step says what the model answers in that turn.

    with model_api({"hello": [Say("Hello.")]}) as api:
        ...  # run an agent with ANTHROPIC_BASE_URL=api.url
"""

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

MODEL = "claude-opus-5-5"


@dataclass(frozen=True)
class Say:
    """The model says something and ends its turn."""

    text: str
    thinking: str = ""


@dataclass(frozen=True)
class Use:
    """The model uses tools: (name, input) each; `text` comes before."""

    tools: tuple[tuple[str, Mapping[str, object]], ...]
    text: str = ""


@dataclass(frozen=True)
class Fail:
    """The API answers with an error."""

    status: int
    kind: str
    message: str = "as scripted"


@dataclass(frozen=True)
class Hold:
    """The model says something and then nothing more, until `ModelApi.go` or the other side hangs up."""

    text: str


@dataclass(frozen=True)
class Cut:
    """The stream breaks off in the middle of a text; asked again without a stream, the API answers with that text."""

    text: str


Step = Say | Use | Fail | Hold | Cut
Script = Mapping[str, Sequence[Step]]


def bash(command: str) -> Use:
    """The model runs a command."""
    return Use((("Bash", {"command": command, "description": "a command"}),))


@dataclass
class ModelApi:
    """A running server.

    Attributes:
        url: for ANTHROPIC_BASE_URL.
        requests: the body of every model request, in order.
    """

    script: Script
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._going = asyncio.Event()
        self._held = threading.Event()

    def go(self) -> None:
        """Let a step that holds go on, now and from now on."""
        self._loop.call_soon_threadsafe(self._going.set)

    def until_held(self) -> None:
        """Return when a step has said its text and holds."""
        assert self._held.wait(20), "no step holds"

    def run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Serve until told to stop. Runs in a thread of its own."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(ready, stop))

    async def _serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        clients: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            clients.add(asyncio.create_task(self._client(reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
                body = await reader.readexactly(int(length[1]) if length else 0)
                await self._answer(writer, method, path.partition("?")[0], body)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter, method: str, path: str, body: bytes) -> None:
        if (method, path) == ("POST", "/v1/messages/count_tokens"):
            _send_json(writer, 200, {"input_tokens": 10})
        elif (method, path) == ("POST", "/v1/messages"):
            request = json.loads(body)
            self.requests.append(request)
            await self._model_turn(writer, request, self._step(request))
        else:
            _send_json(writer, 200 if method == "HEAD" else 404, {})
        await writer.drain()

    def _step(self, request: dict[str, Any]) -> Step:
        turns = 0
        for message in [{"role": "user", "content": request.get("system", "")}, *request["messages"]][::-1]:
            if message["role"] == "assistant":
                turns += 1
            elif message["role"] == "user" and (found := re.findall(r"SCENARIO:(\w+)", _text_of(message))):
                steps = self.script[found[-1]]
                return steps[turns] if turns < len(steps) else Say("There is nothing more to do.")
        return Say("I was told no scenario.")

    async def _model_turn(self, writer: asyncio.StreamWriter, request: dict[str, Any], step: Step) -> None:
        number = len(self.requests)
        blocks: list[dict[str, Any]]
        match step:
            case Fail(status, kind, message):
                error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{number}"}
                _send_json(writer, status, error)
                return
            case Say(text, thinking):
                blocks = [{"type": "thinking", "thinking": thinking, "signature": "c2ln"}] if thinking else []
                blocks.append({"type": "text", "text": text})
            case Use(tools, text):
                blocks = [{"type": "text", "text": text}] if text else []
                for index, (name, arguments) in enumerate(tools):
                    use = {"type": "tool_use", "id": f"toolu_{number}_{index}", "name": name, "input": arguments}
                    blocks.append(use)
            case Hold(text) | Cut(text):
                blocks = [{"type": "text", "text": text}]
        reason = "tool_use" if isinstance(step, Use) else "end_turn"
        message = _message(number, request.get("model", MODEL))
        if not request.get("stream"):
            _send_json(writer, 200, {**message, "content": blocks, "stop_reason": reason})
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        _event(writer, "message_start", message=message)
        for index, block in enumerate(blocks):
            for name, values in _pieces(block):
                _event(writer, name, index=index, **values)
            if isinstance(step, Cut):
                await writer.drain()
                return
            if isinstance(step, Hold):
                await writer.drain()
                self._held.set()
                await self._going.wait()
            _event(writer, "content_block_stop", index=index)
        delta = {"stop_reason": reason, "stop_sequence": None}
        _event(writer, "message_delta", delta=delta, usage={"output_tokens": 12})
        _event(writer, "message_stop")


def _text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", "") for block in content if block.get("type") == "text")


def _message(number: int, model: str) -> dict[str, Any]:
    usage = {
        "input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 12,
    }  # fmt: skip
    return {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip


def _pieces(block: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A block as the events that carry it, its text in two halves."""
    empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
    yield "content_block_start", {"content_block": {**block, **empty[block["type"]]}}
    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": half} for half in _halves(block["text"])]
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": half} for half in _halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case _:
            whole = json.dumps(block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": half} for half in _halves(whole)]
    for delta in deltas:
        yield "content_block_delta", {"delta": delta}


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _event(writer: asyncio.StreamWriter, name: str, **values: Any) -> None:
    writer.write(f"event: {name}\ndata: {json.dumps({'type': name, **values})}\n\n".encode())


def _send_json(writer: asyncio.StreamWriter, status: int, value: object) -> None:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)


@contextmanager
def model_api(script: Script) -> Iterator[ModelApi]:
    """A server for as long as this is open; its thread and its connections end with it."""
    api = ModelApi(script)
    ready, stop = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=api.run, args=(ready, stop), name="model API")
    thread.start()
    try:
        assert ready.wait(20), "the model API did not start"
        yield api
    finally:
        api._loop.call_soon_threadsafe(stop.set)
        thread.join(20)
