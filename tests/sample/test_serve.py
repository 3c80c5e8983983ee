"""The web server of the demo world, started for real."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from sample import HERE
from sample.build_world import HTML_PAGE
from sample.serve import HEALTH_TEXT, HOST, serving
from sample.world_plan import Row, plan_rows

PLAN = plan_rows()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server on a free port."""
    with serving(port=0) as address, httpx.Client(base_url=address, trust_env=False, timeout=5) as client:
        yield client


def _row(trouble: str | None, spoken: bool = False) -> Row:
    return next(row for row in PLAN if row.trouble == trouble and row.spoken == spoken)


def _path(row: Row) -> str:
    return urlsplit(row.image_url).path


def _start(port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sample.serve", "--port", str(port)],
        cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_health_answers(client: httpx.Client) -> None:
    """/health answers 200 with the server's name."""
    answer = client.get("/health")
    assert (answer.status_code, answer.text) == (200, HEALTH_TEXT)


def test_images_and_audio_are_served_as_stored(client: httpx.Client) -> None:
    """Bytes, length and type are those of the files, and nothing opts out."""
    row = _row(None, spoken=True)
    image, audio = client.get(_path(row)), client.get(f"/audio/{row.id}.ogg")
    assert image.content == (HERE / "world" / "images" / f"{row.id}.jpg").read_bytes()
    assert audio.content == (HERE / "world" / "audio" / f"{row.id}.ogg").read_bytes()
    assert image.headers["content-type"] == "image/jpeg"
    assert audio.headers["content-type"] == "audio/ogg"
    assert "x-robots-tag" not in image.headers


def test_a_dead_link_is_a_404(client: httpx.Client) -> None:
    """An image that is not stored is not found."""
    assert client.get(_path(_row("dead_link"))).status_code == 404


def test_no_name_leads_out_of_the_folder(client: httpx.Client) -> None:
    """A coded path upwards finds nothing."""
    assert client.get("/images/..%2Fheaders.json").status_code == 404


def test_a_truncated_image_is_cut_short(client: httpx.Client) -> None:
    """The answer is complete HTTP around an incomplete JPEG: there is no end marker."""
    answer = client.get(_path(_row("truncated_image")))
    assert answer.status_code == 200
    assert answer.content.startswith(b"\xff\xd8")
    assert not answer.content.endswith(b"\xff\xd9")


def test_an_html_page_claims_to_be_an_image(client: httpx.Client) -> None:
    """The page behind a .jpg comes as image/jpeg."""
    answer = client.get(_path(_row("html_page")))
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == HTML_PAGE


def test_an_opted_out_image_says_so(client: httpx.Client) -> None:
    """The flagged image carries X-Robots-Tag: noai."""
    assert client.get(_path(_row("opted_out"))).headers["x-robots-tag"] == "noai"


def test_the_slow_host_never_ends(client: httpx.Client) -> None:
    """It answers at once with a first byte of a JPEG, and then a patient client gives up."""
    with client.stream("GET", _path(_row("slow_host")), timeout=0.5) as answer:
        assert answer.status_code == 200
        chunks = answer.iter_raw()
        assert next(chunks) == b"\xff"
        with pytest.raises(httpx.ReadTimeout):
            next(chunks)


def test_a_port_in_use_is_one_clear_line() -> None:
    """A second server on the port ends with exit code 1 and one line, no traceback."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        process = _start(taken.getsockname()[1])
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert "cannot serve on" in errors


def test_a_server_that_cannot_start_raises_its_line() -> None:
    """`serving` passes the server's own complaint on."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        with pytest.raises(RuntimeError, match="cannot serve on"), serving(taken.getsockname()[1]):
            pass


def test_a_running_world_is_used_and_left_alone(client: httpx.Client) -> None:
    """`serving` on the port of a running sample world uses that one and does not stop it."""
    port = client.base_url.port
    assert port is not None
    with serving(port) as address:
        assert address == f"http://{HOST}:{port}"
    assert client.get("/health").status_code == 200


def test_sigterm_ends_it_quietly_even_with_a_slow_client() -> None:
    """SIGTERM gives exit code 0 soon, and no words, while a drip is under way."""
    process = _start(0)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    with httpx.stream("GET", f"{address}/slow/a.jpg", trust_env=False) as answer:
        assert next(answer.iter_raw()) == b"\xff"
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert time.monotonic() - started < 5
