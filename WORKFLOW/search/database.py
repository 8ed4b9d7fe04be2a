"""A search in a database: one process opens the database and serves the others through Optuna's GrpcStorageProxy.

The process that holds the server's lock serves. It listens on a socket in a private folder of its own, which only this
user may enter; its address is in a file beside the lock. When the server dies, the kernel frees the lock. The next
process that gets no answer then serves, and removes the folder of the dead server, whose name was on file before the
folder was made. Every request may be sent twice, so a request that was cut off is simply sent again.
"""

import ctypes
import fcntl
import os
import secrets
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import optuna

from config.errors import Refused
from state.files import private, snapshot
from state.host.secrets import redacted
from WORKFLOW.search import needs
from WORKFLOW.search.storage import NamedStudies, damaged

Done = TypeVar("Done")
_ANSWER_S = 1.0  # seconds for a server on this machine to answer
_REQUEST_S = 20.0  # seconds that a request may take; then it is sent again, perhaps to another server
_SERVED_S = 60.0  # seconds until some process must serve the database; on a busy machine, imports alone take 10
_PAUSE_S = 0.02
_THREADS = 10
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_BUSY_S = 60  # seconds to wait for another writer of SQLite


class DatabaseStore(NamedStudies):
    """A search in the database at `url`; `folder` holds the server's lock and address."""

    def __init__(self, url: str, folder: Path, name: str) -> None:
        super().__init__(name)
        needs.check_packages(url)
        self._url, self._folder = url, folder
        self._lock: int | None = None
        self._server: Any = None
        self._served: Any = None
        self._socket: Path | None = None
        self._storage: Any = None
        private.folder(folder)

    @property
    def where(self) -> str:
        """The address of the database, without a password."""
        return redacted(self._url)

    def act(self, deed: Callable[[optuna.storages.BaseStorage], Done]) -> Done:
        """Run `deed` on the storage and return its result, whichever process serves the storage then."""
        import grpc

        until_s = time.monotonic() + _SERVED_S
        while True:
            try:
                return deed(self._open())
            except (grpc.RpcError, ConnectionError) as error:  # the server is gone, or has not begun
                self._storage = None
                if time.monotonic() > until_s:
                    raise Refused(
                        f"nobody served the study in {redacted(self._url)} for {_SERVED_S} s ({type(error).__name__})",
                        "read search.err in the run's folder, and see whether the database is up",
                    ) from None
                time.sleep(_PAUSE_S)

    def mark(self) -> None:
        """Do nothing: a change of a database can be found only by reading it."""

    def close(self) -> None:
        """Stop serving; another process of the search becomes the server."""
        if self._server is not None:
            _keep_for_ever(self._server)
            self._server.stop(grace=1.0).wait()
            backend = self._served._backend
            backend.remove_session()
            backend.engine.dispose()
        if self._socket is not None:
            _remove(self._socket)
        if self._lock is not None:
            os.close(self._lock)
        self._server = self._served = self._socket = self._lock = self._storage = None

    @property
    def _address(self) -> Path:
        return self._folder / "server.json"

    def _open(self) -> Any:
        if self._storage is None:
            self._storage = (self._served or self._serve()) if self._is_server() else self._client()
        return self._storage

    def _is_server(self) -> bool:
        if self._lock is None:
            descriptor = os.open(self._folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True

    def _serve(self) -> Any:
        import grpc
        from optuna.storages._grpc.auto_generated import api_pb2_grpc  # `make_server` does not allow a Unix socket
        from optuna.storages._grpc.servicer import OptunaStorageProxyService

        self._clear_after_the_dead()
        try:
            storage = self._served = opened(self._url)
        except BaseException:
            self.close()  # frees the lock, so that a later attempt can serve
            raise
        self._socket = self._new_socket()
        self._server = grpc.server(ThreadPoolExecutor(_THREADS))
        add: Any = api_pb2_grpc.add_StorageServiceServicer_to_server
        add(OptunaStorageProxyService(storage), self._server)
        self._server.add_insecure_port(f"unix:{self._socket}")
        self._server.start()
        snapshot.write_json(self._address, {"host": "unix", "port": str(self._socket)})
        return storage

    def _clear_after_the_dead(self) -> None:
        record = snapshot.read_json(self._address)
        if isinstance(record, dict) and isinstance(record.get("port"), str):
            _remove(Path(record["port"]))
        self._address.unlink(missing_ok=True)

    def _new_socket(self) -> Path:
        """Return a new socket's path, on file before its folder is made; a run's folder may lie too deep for it."""
        socket = Path(tempfile.gettempdir()) / f"study-{secrets.token_hex(8)}" / "s"
        snapshot.write_json(self._address, {"port": str(socket)})
        socket.parent.mkdir(mode=0o700)
        return socket

    def _client(self) -> Any:
        record = snapshot.read_json(self._address)
        if not isinstance(record, dict) or "host" not in record:
            raise ConnectionError("no server yet")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # Optuna's version is pinned
            proxy = _Proxy(host=record["host"], port=record["port"])
        proxy.wait_server_ready(timeout=_ANSWER_S)
        return proxy


class _Proxy(optuna.storages.GrpcStorageProxy):
    """Optuna's client, with a deadline for every request: a server that hangs would otherwise hang its clients."""

    def _setup(self) -> None:
        import grpc
        from optuna.storages._grpc.auto_generated import api_pb2_grpc
        from optuna.storages._grpc.client import GrpcClientCache, create_insecure_channel

        class Deadline(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
            def intercept_unary_unary(self, onward: Any, details: Any, request: Any) -> Any:
                return onward(details._replace(timeout=_REQUEST_S), request)

        self._channel = create_insecure_channel(self._host, self._port)
        self._stub = api_pb2_grpc.StorageServiceStub(  # type: ignore[no-untyped-call]
            grpc.intercept_channel(self._channel, Deadline())
        )
        self._cache = GrpcClientCache(self._stub)


def _keep_for_ever(server: Any) -> None:
    """Let nobody free a server of grpc, not even the end of the interpreter.

    When a request arrives while the server stops, freeing it waits for ever for that request, with the interpreter's
    lock. The process would hang, and with it every client, because the socket stays open.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _remove(socket: Path) -> None:
    """Remove a server's socket and its folder. Nothing else is ever deleted, whatever an address on file names."""
    with suppress(OSError):
        if socket.is_socket():
            socket.unlink()
        socket.parent.rmdir()  # fails if the folder still holds anything


def opened(url: str) -> Any:
    """Open the database at `url` and make its tables.

    Raises:
        Refused: the database does not answer, or its driver is missing. The message never holds a password.
        Recomputable: the database is a file of SQLite, and damaged.
    """
    from sqlalchemy.exc import SQLAlchemyError

    arguments = {"connect_args": {"timeout": _BUSY_S}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        return optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=arguments))
    except (SQLAlchemyError, ImportError, OSError) as error:
        if getattr(getattr(error, "orig", None), "sqlite_errorcode", None) in _DAMAGED:
            raise damaged(url.partition(":///")[2], "is no database that SQLite can read") from None
        raise needs.unopened(url, error) from None
