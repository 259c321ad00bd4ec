"""download_cellxgene against a real server on this machine that hangs up, lies, and is not there."""

import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anndata
import pytest

from ggml_nb import download_cellxgene, make_scrna
from ggml_nb.shell import download
from ggml_nb.shell.download import API, DATASETS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    "The bytes of a small .h5ad."
    path = tmp_path_factory.mktemp("data") / "cells.h5ad"
    make_scrna(6, 20, 100, n_differential=5, seed=0).write_h5ad(path)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(download, "PAUSES", (0, 0))


@pytest.fixture
def site(data, monkeypatch):
    "A server with an API and one file; attributes say how it misbehaves."

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.asked.append((self.path, self.headers.get("Range")))
            if self.path in site.status:
                return self.send_error(site.status[self.path])
            answer = site.pages.get(self.path)
            if answer is None:
                return self.send_error(404)
            if isinstance(answer, bytes):
                return self.send_file(answer)
            answer = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def send_file(self, body):
            start = 0
            if site.ranges and self.headers.get("Range"):
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body) + site.lie}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body) + site.lie - start))
            self.end_headers()
            stop = start + (site.patience.pop(0) if site.patience else len(body))
            self.wfile.write(body[start:stop])

        def log_message(self, *args):
            pass

    site = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{site.server_port}"
    site.asked, site.status, site.patience, site.ranges, site.lie = [], {}, [], True, 0
    kidney = DATASETS["kidney"]
    asset = {"filetype": "H5AD", "url": f"{site.url}/v1.h5ad", "filesize": len(data)}
    site.record = {"dataset_id": kidney["dataset"], "title": "Kidney", "assets": [{"filetype": "RDS"}, asset]}
    collection = f"/collections/{kidney['collection']}"
    site.pages = {
        "/v1.h5ad": data,
        collection: {"datasets": [{"dataset_id": "another", "title": "Other"}, site.record]},
        f"{collection}/datasets/{kidney['dataset']}": site.record,
        "/datasets": [site.record],
    }
    monkeypatch.setenv("GGML_NB_CELLXGENE", site.url)
    threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield site
    site.shutdown()
    site.server_close()


def get(name="kidney", **kwargs):
    return download_cellxgene(name, verbose=0, **kwargs)


def left(folder):
    return sorted(p.name for p in folder.iterdir())


def ranges_of_file(site):
    return [asked for path, asked in site.asked if path == "/v1.h5ad"]


def test_a_good_server_is_asked_once(site, data, tmp_path):
    path = get(folder=tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "kidney.h5ad" and path.read_bytes() == data
    assert anndata.read_h5ad(path).n_obs == 120 and left(path.parent) == ["kidney.h5ad"]
    n = len(site.asked)
    assert n == 3 and get(folder=path.parent) == path and len(site.asked) == n  # the second call asks nobody


def test_the_cache_is_where_the_environment_says(site, data, tmp_path, monkeypatch):
    monkeypatch.setenv("GGML_NB_CACHE", str(tmp_path / "cache"))
    assert get() == tmp_path / "cache" / "kidney.h5ad"
    monkeypatch.delenv("GGML_NB_CACHE")
    assert "ggml_nb" in download.cache_folder().parts


def test_other_datasets_by_id_and_by_url(site, data, tmp_path):
    name = DATASETS["kidney"]["dataset"]
    assert get(name, folder=tmp_path).name == f"{name}.h5ad"
    assert get(f"{site.url}/v1.h5ad", folder=tmp_path).read_bytes() == data
    with pytest.raises(ValueError, match="has no dataset 00000000-.*the URL of its file"):
        get("00000000-0000-0000-0000-000000000000", folder=tmp_path)


def test_a_dataset_is_found_by_its_title_or_all_are_listed(site, tmp_path):
    home = f"/collections/{DATASETS['myocardial']['collection']}"
    titles = ["All-snATAC-Spatial map", "All-snRNA-Spatial map", "Visium"]
    site.pages[home] = {"datasets": [{"dataset_id": str(i), "title": title} for i, title in enumerate(titles)]}
    site.pages[f"{home}/datasets/1"] = site.record
    assert get("myocardial", folder=tmp_path).name == "myocardial.h5ad"
    site.pages[home]["datasets"].pop(1)
    with pytest.raises(ValueError, match="0 datasets .* fit 'All-snRNA'.*Visium: 2"):
        get("myocardial", folder=tmp_path / "other")


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(site, data, tmp_path):
    site.patience = [1000, 5000, 1]
    assert get(folder=tmp_path).read_bytes() == data
    assert ranges_of_file(site) == ["bytes=0-", "bytes=999-", "bytes=5998-", "bytes=5998-"]
    assert left(tmp_path) == ["kidney.h5ad"]


def test_a_later_call_goes_on_too(site, data, tmp_path):
    site.patience = [1000] + [0] * 5
    with pytest.raises(OSError, match=f"broke off after 1000 of {len(data)} bytes.*call again"):
        get(folder=tmp_path)
    assert left(tmp_path) == [".kidney.h5ad.v1.part"]
    site.patience, site.asked[:] = [], []
    assert get(folder=tmp_path).read_bytes() == data
    assert ranges_of_file(site) == ["bytes=999-"] and left(tmp_path) == ["kidney.h5ad"]


def test_a_second_process_waits(site, data, tmp_path):
    hold = "import sys, pathlib; from ggml_nb.shell.download import alone\nwith alone(pathlib.Path(sys.argv[1])):"
    hold += " print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path / ".kidney.h5ad.v1.part")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(OSError, match="another process is writing into .*wait for it"):
        get(folder=tmp_path)
    other.communicate("")
    assert get(folder=tmp_path).read_bytes() == data and left(tmp_path) == ["kidney.h5ad"]


def test_a_new_version_does_not_go_on_from_the_old_one(site, data, tmp_path):
    (tmp_path / ".kidney.h5ad.v0.part").write_bytes(b"of another version")
    assert get(folder=tmp_path).read_bytes() == data and ranges_of_file(site) == ["bytes=0-"]


def test_a_server_without_ranges_starts_anew(site, data, tmp_path):
    site.ranges, site.patience = False, [1000]
    assert get(folder=tmp_path).read_bytes() == data and len(ranges_of_file(site)) == 2


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_that_breaks_off_for_ever_is_given_up(site, tmp_path, ranges):
    site.ranges, site.patience = ranges, [3000, 2000, 2500] + [1000, 0] * 20
    if ranges:
        site.patience = [3000] + [0] * 20
    with pytest.raises(OSError, match="broke off"):
        get(folder=tmp_path)
    assert left(tmp_path) == [".kidney.h5ad.v1.part"] and len(ranges_of_file(site)) <= 6


@pytest.mark.parametrize("lie", [-100, 100])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_lie_about_the_length_is_one_error(site, data, tmp_path, lie, ranges):
    site.ranges, site.lie = ranges, lie
    with pytest.raises(ValueError, match=f"has {len(data) + lie} bytes.*says {len(data)}.*Nothing was kept"):
        get(folder=tmp_path)
    assert left(tmp_path) == []


def test_promising_more_than_there_is_ends_without_a_file(site, data, tmp_path):
    site.lie = 100  # by URL: no entry that says otherwise
    with pytest.raises(OSError, match=f"of {len(data) + 100} bytes"):
        get(f"{site.url}/v1.h5ad", folder=tmp_path)
    assert left(tmp_path) == [".v1.h5ad.v1.part"]


def test_a_wrong_file_is_refused_by_its_checksum(site, data, tmp_path):
    good = hashlib.sha256(data).hexdigest()
    wrong = bytearray(data)
    wrong[len(wrong) // 2] ^= 1
    site.pages["/v1.h5ad"] = bytes(wrong)
    with pytest.raises(ValueError, match=f"SHA-256 is .* instead of {good}. Nothing was kept"):
        get(folder=tmp_path, sha256=good)
    assert left(tmp_path) == []
    site.pages["/v1.h5ad"] = data
    path = get(folder=tmp_path, sha256=good.upper())
    path.write_bytes(wrong)
    with pytest.raises(ValueError, match="is there, but its SHA-256 .* remove it"):
        get(folder=tmp_path, sha256=good)


def test_a_login_page_is_no_data(site, tmp_path):
    site.pages["/v1.h5ad"] = b"<html>please log in</html>"
    with pytest.raises(ValueError, match="not an .h5ad"):
        get(f"{site.url}/v1.h5ad", folder=tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("status", [404, 500])
@pytest.mark.parametrize("where", ["/v1.h5ad", f"/collections/{DATASETS['kidney']['collection']}"])
def test_a_refusal_names_address_and_remedy(site, tmp_path, status, where):
    site.status[where] = status
    with pytest.raises(OSError, match=f"{where} answers {status}.*put it there as .*kidney.h5ad"):
        get(folder=tmp_path)
    assert left(tmp_path) == []


def test_an_error_in_the_middle_is_asked_again(site, data, tmp_path):
    site.patience = [1000]

    class OnSecondRequest(dict):
        def __contains__(self, path):
            return path == "/v1.h5ad" and len(ranges_of_file(site)) == 2

    site.status = OnSecondRequest({"/v1.h5ad": 500})
    assert get(folder=tmp_path).read_bytes() == data and len(ranges_of_file(site)) == 3


def test_no_server_is_one_line_that_says_what_to_do(site, tmp_path):
    site.shutdown()
    site.server_close()
    with pytest.raises(OSError) as error:
        get(folder=tmp_path)
    message = str(error.value)
    assert "cannot reach" in message and "Connection refused" in message and "\n" not in message
    assert f"cellxgene.cziscience.com/collections/{DATASETS['kidney']['collection']}" in message
    assert DATASETS["kidney"]["dataset"] in message
    assert f"put it there as {tmp_path / 'kidney.h5ad'}" in message and left(tmp_path) == []


def test_an_answer_of_another_form_is_one_error(site, tmp_path):
    site.pages[f"/collections/{DATASETS['kidney']['collection']}"] = {"items": []}
    with pytest.raises(ValueError, match="in a form that this version does not know"):
        get(folder=tmp_path)
    site.pages[f"/collections/{DATASETS['kidney']['collection']}"] = b"<html>"
    with pytest.raises(ValueError, match="does not answer in JSON"):
        get(folder=tmp_path)


@pytest.mark.parametrize("name", ["kidneys", "../kidney", "file:///etc/passwd", ""])
def test_a_wrong_name_is_refused_at_once(site, tmp_path, name):
    with pytest.raises(ValueError, match="one of kidney, breast, myocardial"):
        get(name, folder=tmp_path)
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        get(folder=tmp_path, sha256="abc")
    assert not site.asked


def test_a_full_disk_is_noticed_before_the_transfer(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(ValueError, match="has 10 bytes left"):
        get(folder=tmp_path)
    assert not ranges_of_file(site) and left(tmp_path) == []


def test_the_public_address_is_the_default():
    assert API.startswith("https://") and all(entry["keys"]["sample_key"] for entry in DATASETS.values())
