import dataclasses
import hashlib
import http.server
import json
import re
import threading

import numpy as np
import pytest

from fdigits.data import datasets, download
from fdigits.data.corpora import written_spoken
from fdigits.data.datasets import DATASETS, File
from fdigits.errors import UserError
from tests.data.source_files import wav, write_tar

CONTENT = np.random.default_rng(0).bytes(1_500_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `files`; honours Range if `ranges`; cuts the first replies."""

    files: dict = {}  # noqa: RUF012
    ranges, cut, replies_cut, length = True, 600_000, 1, True
    asked: list = []  # noqa: RUF012

    def do_GET(self):
        cls = type(self)
        wanted = self.headers.get("Range")
        cls.asked.append(wanted)
        content = cls.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and cls.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if cls.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if cls.replies_cut:
            cls.replies_cut -= 1
            body = body[: cls.cut]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    handler = type("H", (Handler,), {"asked": [], "files": {"/a.bin": CONTENT}})
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.url = f"http://127.0.0.1:{served.server_port}"
    yield handler
    served.shutdown()
    served.server_close()
    thread.join()


def test_resumes_where_it_was_cut(server, tmp_path):
    target = tmp_path / "new" / "a.bin"
    download.download(f"{server.url}/a.bin", target, SHA256)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=600000-"]
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]


def test_goes_on_with_the_part_of_an_earlier_call(server, tmp_path):
    server.replies_cut = 0
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1_000])
    download.download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA256)
    assert server.asked == ["bytes=1000-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_whole_part_needs_nothing_more(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    download.download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA256)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_without_range_sends_all_again(server, tmp_path):
    server.ranges = False
    download.download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA256)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_cut_again_and_again_keeps_the_part(server, tmp_path):
    server.replies_cut, server.cut = 99, 0
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1_000])
    with pytest.raises(download._NETWORK):
        download.download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA256)
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:1_000]
    assert not (tmp_path / "a.bin").exists()


def test_another_checksum_is_refused_and_removed(server, tmp_path):
    with pytest.raises(UserError, match=r"a\.bin: the download has another checksum"):
        download.download(f"{server.url}/a.bin", tmp_path / "a.bin", "md5:" + "0" * 32)
    assert list(tmp_path.iterdir()) == []


def replace(monkeypatch, name, **fields):
    """Another record of a data set."""
    monkeypatch.setitem(DATASETS, name, dataclasses.replace(DATASETS[name], **fields))


@pytest.mark.parametrize("name", ["digits", "espeak", "bundled"])
def test_what_ships_is_not_downloaded(tmp_path, name):
    with pytest.raises(UserError, match=f"{name} is part of fdigits: there is nothing to download"):
        download.fetch(name, tmp_path)


def test_an_unknown_set_and_one_without_a_download_are_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"'mnst' is unknown \(did you mean 'mnist'\?\)"):
        download.fetch("mnst", tmp_path)
    mine = datasets.Dataset("mine", "mine", own=True, folders=("mine",), needs="your pictures")
    monkeypatch.setitem(DATASETS, "mine", mine)
    with pytest.raises(UserError, match=r"^mine is missing: put your pictures into \S*/mine$"):
        download.fetch("mine", tmp_path)


def test_fetch_takes_only_what_is_missing(server, tmp_path, monkeypatch):
    server.files = {"/x": CONTENT, "/y": b"short"}
    files = (
        File("x", f"{server.url}/x", SHA256),
        File("y", f"{server.url}/y", f"md5:{hashlib.md5(b'short').hexdigest()}"),
    )
    replace(monkeypatch, "mnist", files=files)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "x").write_bytes(b"mine")
    server.replies_cut = 0
    download.fetch("mnist", tmp_path)
    assert (tmp_path / "mnist" / "x").read_bytes() == b"mine"
    assert (tmp_path / "mnist" / "y").read_bytes() == b"short"


def test_not_there(server, tmp_path, monkeypatch):
    files = (File("x", f"{server.url}/gone", SHA256),)
    replace(monkeypatch, "mnist", home="the home", needs="x", files=files)
    with pytest.raises(UserError, match=r"mnist is missing.*put x into .*mnist, from the home"):
        download.fetch("mnist", tmp_path)


def zenodo(server, checksum) -> dict:
    names = written_spoken.DATABASE
    server.files = {f"/files/{name}": name.encode() for name in names}
    return {
        "files": [
            {
                "key": name,
                "checksum": checksum(name.encode()),
                "links": {"self": f"{server.url}/files/{name}"},
            }
            for name in names
        ]
    }


def test_zenodo_record(server, tmp_path, monkeypatch):
    server.replies_cut = 0
    record = zenodo(server, lambda b: f"md5:{hashlib.md5(b).hexdigest()}")
    server.files["/record"] = json.dumps(record).encode()
    replace(monkeypatch, "written_spoken", record=f"{server.url}/record")
    download.fetch("written_spoken", tmp_path)
    held = tmp_path / "written_spoken"
    assert (held / "labels_test.npy").read_bytes() == b"labels_test.npy"
    record["files"].pop()
    server.files["/record"] = json.dumps(record).encode()
    with pytest.raises(UserError, match=r"does not hold labels_test\.npy"):
        download.fetch("written_spoken", tmp_path)


def test_wavs_digest_knows_wavs_not_wrapping(tmp_path):
    files = {f"recordings/{d}_theo_0.wav": wav(seed=d) for d in range(3)}
    write_tar(tmp_path / "a.tar.gz", files)
    write_tar(
        tmp_path / "b.tar.gz",
        {"README": b"x", **{f"prefix/{n}": c for n, c in reversed(files.items())}},
    )
    write_tar(tmp_path / "c.tar.gz", {**files, "recordings/1_theo_0.wav": wav(seed=9)})
    a, b, c = (download.wavs_digest(tmp_path / f"{n}.tar.gz") for n in "abc")
    assert a == b != c
    (tmp_path / "d.tar.gz").write_bytes(b"no tar")
    assert download.wavs_digest(tmp_path / "d.tar.gz") == ""


@pytest.mark.real
def test_fsdd_digest(real_data):
    tar = real_data / "fsdd" / "fsdd-recordings.tar.gz"
    assert download.wavs_digest(tar) == DATASETS["fsdd"].files[0].digest.removeprefix("wavs:")
