import io
import os
import sys
from pathlib import Path

import pytest

from heat.errors import PromptFileError
from heat.files import check_writable, read_chat, read_prompt, write_whole


def test_a_prompt_loses_one_newline_its_mark_and_carriage_returns(tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\n\xc3\xa9 two \n\n")
    assert read_prompt(str(file)) == "one\né two \n"


def test_a_prompt_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xc3\xa9\n"), encoding="ascii"))
    assert read_prompt("-") == "café"


@pytest.mark.parametrize(
    ("content", "says"), [(b"\x89PNG\r\n", "is not UTF-8 text (byte 0"), (b"a\0b", "holds a NUL byte")]
)
def test_a_binary_file_is_no_prompt(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(PromptFileError) as raised:
        read_prompt(str(tmp_path / "p"))
    assert says in str(raised.value)


def test_chat_messages_are_read(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text('[{"role": "user", "content": "Hi"}]\n')
    assert read_chat(str(file)) == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("hello", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "holds no chat messages"),
        ('{"role": "user"}', "holds no chat messages"),
        ('["hello"]', "message 0"),
        ('[{"role": "user", "content": "a"}, {"role": "user"}]', "message 1"),
        ('[{"role": "user", "content": 3}]', "message 0"),
    ],
)
def test_what_is_no_chat_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "c").write_text(content)
    with pytest.raises(PromptFileError) as raised:
        read_chat(str(tmp_path / "c"))
    assert says in str(raised.value)


def test_files_are_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(file)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as raised:
        write_whole(file, b"newer")
    assert raised.value.filename == str(file)
    assert file.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "link"]


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    check_writable(tmp_path / "new")
    check_writable(Path("new"))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        check_writable(tmp_path / "none" / "f")
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        check_writable(tmp_path)
    with pytest.raises(OSError, match="no ordinary file"):
        check_writable(Path(os.devnull))


def test_a_closed_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as a user to whom nothing is closed.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="cannot be written"):
        check_writable(tmp_path / "f")
