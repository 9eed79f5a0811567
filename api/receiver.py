"""Model uploads: a multipart body (RFC 7578) streamed to disk, under the file names of this table alone."""

import errno
import reprlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, Self

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fewstep.errors import InvalidInput, ServiceError

__all__ = ["NO_PROGRAMS", "PARTS", "PROGRAM", "Receiver", "receive"]

JSON_BYTES = 2**24
MODEL_BYTES = 2**62  # no limit: that of the whole body holds
PROGRAM = "program.pt2"
NO_PROGRAMS = "this service takes no programs: its operator may set FEWSTEP_ALLOW_PROGRAMS=true"
PARTS: Mapping[str, int] = MappingProxyType(  # name -> maximum of bytes
    {
        "config.json": JSON_BYTES,
        "scheduler_config.json": JSON_BYTES,
        "fewstep.json": JSON_BYTES,
        "diffusion_pytorch_model.safetensors": MODEL_BYTES,
        "conditions.safetensors": MODEL_BYTES,
        PROGRAM: MODEL_BYTES,
    }
)


async def receive(request: Request, folder: Path, programs: bool) -> None:
    """Write the parts of the request's body into ``folder``. Raises `HTTPException` or `InvalidInput`."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise HTTPException(415, f"an upload is multipart/form-data with a boundary, got {reprlib.repr(kind.decode())}")
    with Receiver(folder, options[b"boundary"], programs) as receiver:
        try:
            async for chunk in request.stream():
                await run_in_threadpool(receiver.write, chunk)
        except ClientDisconnect:
            raise HTTPException(400, "the connection was closed before the body was complete") from None
        receiver.finish()


class Receiver:
    """Parser of a multipart body, in chunks of any size: writes each part to the file of its name in ``folder``."""

    def __init__(self, folder: Path, boundary: bytes, programs: bool) -> None:
        self._folder = folder
        self._programs = programs
        self._names: set[str] = set()
        self._field = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._file: BinaryIO | None = None
        self._bytes_left = 0
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_part_end": self._close,
                "on_end": self._on_end,
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def write(self, chunk: bytes) -> None:
        """Parse the next bytes. Raises `InvalidInput` or `HTTPException` at the first that is refused."""
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise HTTPException(400, f"the body is not multipart/form-data as its boundary says: {error}") from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ServiceError("there is no room for the model on the service's disk: free some, then retry") from error

    def finish(self) -> None:
        """Raise `HTTPException` unless the body is complete."""
        if not self._complete:
            raise HTTPException(400, "the body ends before its last boundary: send it whole")

    def _on_header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _on_headers(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name, file_name = (options.get(key, b"").decode("latin-1") for key in (b"name", b"filename"))
        if disposition != b"form-data" or name not in PARTS:
            raise InvalidInput(f"a part is named one of {', '.join(PARTS)}; got {reprlib.repr(name)}")
        if set("/\\\0") & set(file_name) or file_name in (".", ".."):
            raise InvalidInput(f"a part's file name is no path, got {reprlib.repr(file_name)}: leave it out")
        if name in self._names:
            raise InvalidInput(f"the part {name} was sent twice: send each once")
        if name == PROGRAM and not self._programs:
            raise HTTPException(403, NO_PROGRAMS)
        self._names.add(name)
        self._bytes_left = PARTS[name]
        self._file = (self._folder / name).open("xb")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        assert self._file is not None
        self._bytes_left -= end - start
        if self._bytes_left < 0:
            name = Path(self._file.name).name
            raise HTTPException(413, f"the part {name} has at most {PARTS[name]} bytes")
        self._file.write(data[start:end])

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_end(self) -> None:
        self._complete = True
