"""Check what `search.storage` needs before any work begins: its packages, and a database that answers."""

from config.errors import Refused
from config.pip import install_line
from config.search import JOURNAL, SQLITE
from state.host.secrets import redacted

_ANSWER_S = 10  # seconds for a database server on a busy machine to accept a connection


def check(storage: str) -> None:
    """Check that a search can use `storage`; a database server is connected to once.

    Raises:
        Refused: a package is missing, or the database cannot be opened. The message never holds a password.
    """
    if storage == JOURNAL:
        return
    check_packages(storage)
    if storage != SQLITE:
        _connect(storage)


def check_packages(storage: str) -> None:
    """Check that the packages for this kind of database are installed.

    Raises:
        Refused: a package is missing; the way out is the line that installs it.
    """
    needed = {"sqlite3": "Python's sqlite3"} if storage.startswith("sqlite") else {"psycopg": "psycopg[binary]"}
    needed |= {"grpc": "grpcio", "google.protobuf": "protobuf"}
    missing = []
    for module, package in needed.items():
        try:
            __import__(module)
        except ImportError:
            missing.append(package)
    if missing:
        pip = install_line("rdb")
        raise Refused(f"search.storage {kind_of(storage)} needs {', '.join(missing)}", f"{pip}\n    or {_JOURNAL}")


def kind_of(storage: str) -> str:
    """Return `sqlite` or `postgresql`."""
    return storage.partition(":")[0]


def unopened(storage: str, error: BaseException) -> Refused:
    """Return the refusal of a database that cannot be opened."""
    why = redacted(str(error).strip().splitlines()[0])
    way_out = f"start the database or correct the URL; or {_JOURNAL}"
    return Refused(f"search.storage {redacted(storage)} cannot be opened: {why}", way_out)


_JOURNAL = "set search.storage to journal, which needs none of them"


def _connect(storage: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    engine = None
    try:
        engine = create_engine(storage, connect_args={"connect_timeout": _ANSWER_S})
        engine.connect().close()
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise unopened(storage, error) from None
    finally:
        if engine is not None:
            engine.dispose()  # otherwise its pool would keep the connection open
