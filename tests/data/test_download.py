import dataclasses
import hashlib
import http.server
import json
import re
import threading
import time

import numpy as np
import pooch
import pytest

from fdigits.data import datasets, download
from fdigits.data.corpora import written_spoken
from fdigits.data.datasets import DATASETS, File
from fdigits.errors import UserError
from tests.data.source_files import wav, write_tar

CONTENT = np.random.default_rng(0).bytes(1_500_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `files`; honours Range if `ranges`; cuts the first replies; refuses with `status`."""

    files: dict = {}  # noqa: RUF012
    asked: list = []  # noqa: RUF012
    ranges, cut, replies_cut, length, status = True, 600_000, 0, True, 0

    def do_GET(self):
        cls = type(self)
        wanted = self.headers.get("Range")
        cls.asked.append(wanted)
        content = cls.files.get(self.path)
        if content is None or cls.status:
            self.send_error(cls.status or 404)
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
def server(monkeypatch):
    handler = type("H", (Handler,), {"asked": [], "files": {"/a": CONTENT}})
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.url = f"http://127.0.0.1:{served.server_port}"
    monkeypatch.setattr(time, "sleep", lambda _: None)  # pooch, before it tries again
    yield handler
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture
def fetch(server, monkeypatch, tmp_path):
    """Fetches one file, `a` with a digest, as MNIST; gives its folder."""

    def fetch(digest=SHA256):
        files = (File("a", f"{server.url}/a", digest),)
        replace(monkeypatch, "mnist", files=files, home="the home", needs="the file a")
        download.fetch("mnist", tmp_path)

    fetch.folder = tmp_path / "mnist"
    fetch.folder.mkdir()
    return fetch


def held(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_whole_file(server, fetch):
    fetch()
    assert held(fetch.folder) == {"a": CONTENT}
    (fetch.folder / "b").write_bytes(b"")
    modes = {path.stat().st_mode for path in fetch.folder.iterdir()}
    assert len(modes) == 1  # others may read it too
    fetch()
    assert server.asked == [None]  # once


@pytest.mark.parametrize("length", [True, False])
def test_a_cut_file_is_gone_on_with_or_fetched_again(server, fetch, length):
    """Without its length a cut answer looks whole, but for its checksum."""
    server.replies_cut, server.length = 1, length
    fetch()
    assert held(fetch.folder) == {"a": CONTENT}
    assert server.asked == [None, f"bytes={9 << 16}-" if length else None]


def test_what_an_earlier_start_left_is_gone_on_with(server, fetch):
    (fetch.folder / "a.part").write_bytes(CONTENT[:1_000])
    fetch()
    assert server.asked == ["bytes=1000-"] and held(fetch.folder) == {"a": CONTENT}
    (fetch.folder / "a").rename(fetch.folder / "a.part")
    fetch()  # it was whole
    assert held(fetch.folder) == {"a": CONTENT}


def test_several_at_once_download_it_once(server, fetch):
    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(fetch.folder) == {"a": CONTENT} and server.asked == [None]


def test_a_server_that_sends_all_again(server, fetch):
    server.ranges = False
    (fetch.folder / "a.part").write_bytes(CONTENT[:1_000])
    fetch()
    assert server.asked == ["bytes=1000-", None] and held(fetch.folder) == {"a": CONTENT}


def test_cut_again_and_again_keeps_the_part(server, fetch):
    server.replies_cut, server.cut = 99, 70_000
    with pytest.raises(UserError, match=r"IncompleteRead.*: put the file a into .*, from the home"):
        fetch()
    assert held(fetch.folder) == {"a.part": CONTENT[: 3 << 16]}
    server.replies_cut = 0
    fetch()
    assert held(fetch.folder) == {"a": CONTENT}


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", CONTENT[1:], b""])
def test_an_answer_with_another_checksum_is_never_kept(server, fetch, content):
    server.files["/a"] = content
    says = r"SHA256 hash of downloaded file \(a\) does not match the known hash\): put the file a"
    with pytest.raises(UserError, match=says if content else "416|does not match"):
        fetch()
    assert held(fetch.folder) == {}


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_refusal(server, fetch, status):
    server.status = status
    with pytest.raises(UserError, match=f"^mnist is missing .*{status}.*: put the file a") as told:
        fetch()
    assert "\n" not in str(told.value) and not (fetch.folder / "a").exists()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy_that_is_not_there(server, fetch, monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(UserError, match=r"\(ProxyError: .*refused\): put the file a into"):
        fetch()
    assert not server.asked


def test_no_server(server, fetch):
    server.url = "http://127.0.0.1:9"
    with pytest.raises(UserError, match=r"\(ConnectionError: .*refused\): put the file a into"):
        fetch()


def test_recordings_are_told_by_their_wavs(server, fetch, tmp_path):
    files = {f"recordings/{d}_theo_0.wav": wav(seed=d) for d in range(3)}
    write_tar(tmp_path / "a.tar.gz", files)
    server.files["/a"] = (tmp_path / "a.tar.gz").read_bytes()
    digest = f"wavs:{download.wavs_digest(tmp_path / 'a.tar.gz')}"
    for wrong in (server.files["/a"][:-900], b"<html>"):
        server.files["/a"], right = wrong, server.files["/a"]
        with pytest.raises(UserError, match=r"/a has other recordings than published.: put the"):
            fetch(digest)
        assert held(fetch.folder) == {}
        server.files["/a"] = right
    fetch(digest)
    assert held(fetch.folder) == {"a": server.files["/a"]}


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


def test_fetch_takes_only_what_is_missing(server, fetch):
    (fetch.folder / "a").write_bytes(b"mine")
    fetch()
    assert held(fetch.folder) == {"a": b"mine"} and not server.asked


@pytest.fixture
def record(server, monkeypatch):
    """Zenodo's answer about `written_spoken`, which the server gives."""
    names = written_spoken.DATABASE
    server.files = {f"/files/{name}": name.encode() for name in names}
    files = [
        {
            "key": name,
            "checksum": f"md5:{hashlib.md5(name.encode()).hexdigest()}",
            "links": {"self": f"{server.url}/files/{name}"},
        }
        for name in names
    ]
    api = pooch.downloaders.ZenodoRepository
    monkeypatch.setattr(api, "base_api_url", f"{server.url}/api")
    asked = "https://zenodo.org/records/4452953"
    monkeypatch.setattr(pooch.downloaders, "doi_to_url", lambda doi, **_: asked)
    server.files["/api/4452953"] = json.dumps({"files": files}).encode()


def test_a_zenodo_record(server, record, tmp_path):
    download.fetch("written_spoken", tmp_path)
    assert held(tmp_path / "written_spoken") == {
        name: name.encode() for name in written_spoken.DATABASE
    }


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]", b'{"files": []}'])
def test_a_zenodo_record_that_is_none(server, record, tmp_path, answer):
    server.files["/api/4452953"] = answer
    with pytest.raises(UserError, match=r"^written_spoken is missing .* put .*labels_test\.npy"):
        download.fetch("written_spoken", tmp_path)


def test_a_zenodo_record_without_a_file(server, record, tmp_path):
    answer = json.loads(server.files["/api/4452953"])
    lacking = {"files": [file for file in answer["files"] if file["key"] != "labels_test.npy"]}
    server.files["/api/4452953"] = json.dumps(lacking).encode()
    with pytest.raises(UserError, match=r"File 'labels_test\.npy' not found .*: put "):
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
