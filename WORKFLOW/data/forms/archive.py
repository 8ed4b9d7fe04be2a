"""Read the files inside a zip archive one by one, within limits. Nothing is ever written to disk."""

import io
import zipfile
import zlib
from pathlib import PurePosixPath

from config.errors import Refused
from WORKFLOW.data.forms.bytes_in import AGAIN, limit, refuse_bomb
from WORKFLOW.data.forms.meter import Meter
from WORKFLOW.data.forms.shown import listing, shown

FIRST_BYTES = b"PK\x03\x04"
_MOST_MEMBERS = 10_000
_EXCEL = "xl/workbook.xml"
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)


class Archive:
    """A zip archive in memory, its files named without their folders."""

    def __init__(self, label: str, data: bytes) -> None:
        self.label, self._size = label, len(data)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _BROKEN as error:
            raise Refused(f"{label} is not a valid zip file: {error}", f"{AGAIN} (unzip -t FILE tests it)") from error
        members = [one for one in self._zip.infolist() if not one.is_dir()]
        if any(one.filename == _EXCEL for one in members):
            raise Refused(f"{label} is an Excel workbook", "save it as CSV UTF-8 in the spreadsheet program")
        if len(members) > _MOST_MEMBERS:
            raise Refused(f"{label} holds {len(members):,} files", "unpack it, and name a folder or a file")
        self._members = {
            PurePosixPath(one.filename).name: one
            for one in members
            if not PurePosixPath(one.filename).name.startswith(".") and "__MACOSX" not in one.filename
        }

    @property
    def names(self) -> list[str]:
        """The names of its files, sorted."""
        return sorted(self._members)

    def read(self, name: str, meter: Meter) -> bytes:
        """Read one file, within the limits of `meter`.

        Raises:
            Refused: the file has a password, is torn, or unpacks to more than bars could take, whatever size it
                declares.
        """
        member, label = self._members[name], f"{shown(name)} in {self.label}"
        if member.flag_bits & 1:
            raise Refused(f"{label} is protected by a password", "unpack it and name the folder")
        most = limit(max(member.compress_size, 1))
        if member.file_size > most or member.compress_size > self._size:
            raise refuse_bomb(label, member.compress_size)
        meter.look(label, member.file_size)
        try:
            with self._zip.open(member) as file:
                data = file.read(member.file_size + 1)  # never unpacks more than the file declares
        except _BROKEN as error:
            raise Refused(f"{label} is torn: {error}", f"{AGAIN} (unzip -t FILE tests it)") from error
        if not data:
            raise Refused(f"{label} is empty (0 bytes)", AGAIN)
        return data

    def refuse_choice(self, why: str) -> Refused:
        """Return the refusal when no file of the archive can be chosen; `why` says why."""
        return Refused(f"{self.label} holds {listing(self.names) or 'no files'}: {why}", "unpack it and name the file")
