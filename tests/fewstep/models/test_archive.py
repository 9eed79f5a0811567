"""Archives told from bombs and traps by their table of contents."""

import io
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidModel
from fewstep.models.archive import ArchiveLimits, check_archive


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "program.pt2"


def archive(entries: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return content.getvalue()


def test_what_torch_writes_passes(file: Path) -> None:
    """An exported program's archive, by the names that the zip library reads."""
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), file)
    with zipfile.ZipFile(file) as whole:
        assert check_archive(file) == whole.namelist()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "..", "a\\..\\x", "C:x", "./"])
def test_names_that_lead_out_are_refused(file: Path, name: str) -> None:
    """Relative, absolute and foreign ways out."""
    file.write_bytes(archive({"good": b"x", name: b"x"}))
    with pytest.raises(InvalidModel, match="leads out"):
        check_archive(file)


def test_links_and_secrets_are_refused(file: Path) -> None:
    """Entries that are symbolic links, or encrypted."""
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr(link, b"/etc/passwd")
    file.write_bytes(content.getvalue())
    with pytest.raises(InvalidModel, match="link or encrypted"):
        check_archive(file)
    plain = archive({"a": b"x"})
    start = plain.index(b"PK\x01\x02") + 8
    file.write_bytes(plain[:start] + struct.pack("<H", 1) + plain[start + 2 :])
    with pytest.raises(InvalidModel, match="link or encrypted"):
        check_archive(file)


def test_growth_is_bounded(file: Path) -> None:
    """What unpacks to much more than it is, in one entry or in many, is a bomb; text that shrinks a little is not."""
    file.write_bytes(archive({"a": bytes(10**6)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(InvalidModel, match="unpacks to 1000000 bytes"):
        check_archive(file)
    file.write_bytes(archive({str(i): bytes(10**4) for i in range(100)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(InvalidModel, match="unpacks to 1000000 bytes"):
        check_archive(file)
    file.write_bytes(archive({"a": " ".join(map(str, range(2000))).encode()}, zipfile.ZIP_DEFLATED))
    assert check_archive(file) == ["a"]


def test_entries_that_overlap_are_refused(file: Path) -> None:
    """Many entries of the table that point at the same bytes: each is small, together they are more than the file."""
    twice = archive({"a": b"x" * 1000, "b": b"y" * 1000}).replace(b"b", b"a")
    file.write_bytes(twice)
    with pytest.raises(InvalidModel, match="twice"):
        check_archive(file)
    good = archive({"a": b"x" * 1000, "b": b"y"})
    table = good.index(b"PK\x01\x02")
    entry = good.index(b"PK\x01\x02", table + 4)
    bent = bytearray(good)
    bent[entry + 20 : entry + 28] = struct.pack("<II", 1200, 1200)
    file.write_bytes(bytes(bent))
    with pytest.raises(InvalidModel, match="overlap"):
        check_archive(file)


def test_limits_hold(file: Path) -> None:
    """The caller's limits are kept; what is no archive, or not there, is named."""
    file.write_bytes(archive({"a": b"x", "b": b"y"}))
    with pytest.raises(InvalidModel, match="2 entries"):
        check_archive(file, ArchiveLimits(entries=1))
    with pytest.raises(InvalidModel, match="unpacks"):
        check_archive(file, ArchiveLimits(growth=0.001))
    for content in (b"", b"PK", b"\x80\x04]", archive({"a": b"x"})[:-10]):
        file.write_bytes(content)
        with pytest.raises(InvalidModel, match=r"program\.pt2 is not a zip archive"):
            check_archive(file)
    with pytest.raises(InvalidModel, match=r"nonesuch\.pt2"):
        check_archive(file.with_name("nonesuch.pt2"))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_change_brings_it_down(file: Path, data: st.DataObject) -> None:
    """Bytes of a good archive changed anywhere: names come back, or `InvalidModel`."""
    content = bytearray(archive({"a": b"some text", "inner/b": b""}, zipfile.ZIP_DEFLATED))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    file.write_bytes(bytes(content))
    try:
        names = check_archive(file)
    except InvalidModel:
        return
    assert all(name and not name.startswith("/") for name in names)
