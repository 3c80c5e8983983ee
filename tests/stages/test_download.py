from __future__ import annotations

import hashlib
import io
import json
import tempfile
import wave
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError
from servers import Answer, Site, serve

from schemas.columns import REJECTED
from schemas.storage import Storage
from stages.download import Download, DownloadConfig
from stages.fetching.repeats import find_repeats

PROJECT = Path(__file__).resolve().parents[2]
DATA = PROJECT.parent / "shared" / "data"

needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no test data in {DATA}")


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


OPENED = ExitStack()


@pytest.fixture(autouse=True)
def close_stages() -> Iterator[None]:
    """End the event loops and decoders of the stages that a test opened, and remove their folders."""
    with OPENED:
        yield


def stage(*, folder: Path | None = None, repeated: Sequence[str] = (), **settings: Any) -> Download:
    """Make and open the stage; the test server's address is allowed unless the settings say otherwise."""
    limits = {"allow_hosts": ["127.0.0.1"], "decoders": 1}
    download = Download(DownloadConfig(use="download", **{**limits, **settings}))
    download.folder = Storage(str(folder or OPENED.enter_context(tempfile.TemporaryDirectory(prefix="download-"))))
    download.surveyed = find_repeats(iter([repeated, repeated]))
    download.open()
    OPENED.callback(download.close)
    return download


def run(download: Download, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    schema = pa.schema([("id", pa.string()), *download.consumes])
    given = [{"id": str(number), **row} for number, row in enumerate(rows)]
    table = download.process(pa.Table.from_pylist(given, schema=schema))
    assert table.schema.names == [*download.produces.names, *REJECTED.names]
    found = table.to_pylist()
    assert {row["_reason"] for row in found} <= {None, *download.reasons}
    return found


def reason(download: Download, row: dict[str, Any]) -> str | None:
    return run(download, row)[0]["_reason"]  # type: ignore[no-any-return]


def photo(width: int = 40, height: int = 30) -> Image.Image:
    """Draw a picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", (width, height), "red")
    ImageDraw.Draw(image).rectangle((width // 2, 0, width, height), fill="blue")
    return image


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def colour(data: bytes, x: float, y: float) -> str:
    """Name the colour at a relative position of an encoded image."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    red, green, blue = image.getpixel((int(x * image.width), int(y * image.height)))
    names = {(1, 0, 0): "red", (0, 0, 1): "blue", (1, 1, 1): "white", (0, 0, 0): "black", (0, 1, 0): "green"}
    return names.get((round(red / 255), round(green / 255), round(blue / 255)), f"{red} {green} {blue}")


def wave_file() -> bytes:
    """Make half a second of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    return buffer.getvalue()


JPEG = encoded(photo(), "JPEG")
SOUND = wave_file()


def test_fetched_image_is_kept_byte_for_byte(site: Site) -> None:
    """A plain image comes with its bytes untouched, and with what is known of them."""
    [row] = run(stage(), {"image_url": site.add("/a.jpg", Answer(JPEG))})
    assert row["_reason"] is None
    assert row["image_bytes"] == JPEG
    assert row["sha256"] == hashlib.sha256(JPEG).hexdigest()
    assert (row["image_format"], row["http_status"]) == ("jpeg", 200)
    assert (row["width"], row["height"], row["original_width"], row["original_height"]) == (40, 30, 40, 30)
    assert len(row["phash"]) == 16
    assert row["audio_bytes"] is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(status=404), "http_404"),
        (Answer(status=403), "http_403"),
        (Answer(status=410), "http_410"),
        (Answer(status=451), "http_4xx"),
        (Answer(status=503), "http_5xx"),
        (Answer(status=429, headers={"Retry-After": "3600"}), "http_429"),
        (Answer(status=304), "redirects"),
        (Answer(b"<html>Not here</html>", headers={"Content-Type": "image/jpeg"}), "not_an_image"),
        (Answer(JPEG[: len(JPEG) // 2]), "truncated_image"),
        (Answer(JPEG[:20]), "decode_error"),
        (Answer(b""), "empty"),
        (Answer(JPEG[:100], lies=len(JPEG)), "connection"),
        (Answer(reset=True), "connection"),
        (Answer(bytes(9000)), "too_large"),
        (Answer(bytes(9000), lies=0), "too_large"),
        (Answer(JPEG, drip_s=0.1), "timeout"),
        (Answer(JPEG, headers={"X-Robots-Tag": "noai, noimageai"}), "opted_out"),
        (Answer(JPEG, headers={"X-Robots-Tag": "noai, \xe9"}), "opted_out"),
        (Answer(status=302, headers={"Location": "http://\xe9/"}), "bad_url"),
        (Answer(status=302, headers={"Location": "/a.jpg"}), "redirects"),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "bad_url"),
        (Answer(status=302, headers={"Location": "http://localhost:1/"}), "private_address"),
        (Answer(status=302, headers={"Location": "http://[::1]:1/"}), "private_address"),
        (Answer(status=302, headers={"Location": "http://169.254.169.254/latest/"}), "private_address"),
    ],
)
def test_bad_answer_costs_its_row_with_a_reason(site: Site, answer: Answer, expected: str) -> None:
    """Every way a server can fail ends in the reject reason for it, while the row beside it goes on."""
    site.add("/good.jpg", Answer(JPEG))
    bad, good = run(
        stage(timeout_s=2, retries=1, max_bytes=8000),
        {"image_url": site.add("/a.jpg", answer)},
        {"image_url": site.url + "/good.jpg"},
    )
    assert bad["_reason"] == expected, bad["_detail"]
    assert bad["image_bytes"] is None
    assert good["_reason"] is None


@pytest.mark.parametrize(
    "first",
    [Answer(status=500), Answer(status=429, headers={"Retry-After": "0"}), Answer(reset=True)],
    ids=["500", "429", "reset"],
)
def test_passing_failure_is_tried_again(site: Site, first: Answer) -> None:
    """A server that fails once and then works is asked twice, and costs no row."""
    assert reason(stage(), {"image_url": site.add("/a.jpg", first, Answer(JPEG))}) is None
    assert site.requests["/a.jpg"] == 2


def test_requests_are_counted(site: Site) -> None:
    """The report tells how often the web was asked and how much came."""
    download = stage()
    url = site.add("/a.jpg", Answer(status=500), Answer(status=500), Answer(JPEG))
    assert reason(download, {"image_url": url}) is None
    assert download.counts == {"requests": 3, "retries": 2, "bytes_fetched": len(JPEG)}


def test_refusal_is_not_tried_again(site: Site) -> None:
    """A 404 will not pass, so the server is asked once."""
    assert reason(stage(), {"image_url": site.add("/a.jpg", Answer(status=404))}) == "http_404"
    assert site.requests["/a.jpg"] == 1


def test_redirects_are_followed(site: Site) -> None:
    """A relative redirect to an image gives the image."""
    site.add("/b.jpg", Answer(JPEG))
    url = site.add("/a.jpg", Answer(status=301, headers={"Location": "b.jpg"}))
    assert run(stage(), {"image_url": url})[0]["image_bytes"] == JPEG


def test_content_type_is_not_believed(site: Site) -> None:
    """What a file is, its bytes say, whatever its name and the header claim."""
    kinds = ["text/html", "application/octet-stream", "image/png", "", "nonsense"]
    answers = (Answer(JPEG, headers={"Content-Type": kind}) for kind in kinds)
    rows = run(stage(), *({"image_url": site.add(f"/{n}.html", answer)} for n, answer in enumerate(answers)))
    assert [(row["_reason"], row["image_format"]) for row in rows] == [(None, "jpeg")] * len(kinds)


def test_one_url_is_fetched_once(site: Site) -> None:
    """Rows that share a URL share its bytes."""
    url = site.add("/a.jpg", Answer(JPEG))
    rows = run(stage(), {"image_url": url}, {"image_url": url})
    assert [row["image_bytes"] for row in rows] == [JPEG, JPEG]
    assert site.requests["/a.jpg"] == 1


def test_many_urls_come_back_in_order(site: Site) -> None:
    """More URLs than may be fetched at once all end in their own rows."""
    pictures = [encoded(photo(20 + number, 20), "PNG") for number in range(12)]
    rows = [
        {"image_url": site.add(f"/{number}.png", Answer(data))} for number, data in enumerate(pictures)
    ]
    assert [row["image_bytes"] for row in run(stage(max_in_flight=3), *rows)] == pictures


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/a.jpg", "http://localhost:{port}/a.jpg", "http://[::ffff:127.0.0.1]:{port}/a.jpg"],
)
def test_private_addresses_are_refused_unless_named(site: Site, url: str) -> None:
    """Without allow_hosts this machine is never asked, whatever its name."""
    site.add("/a.jpg", Answer(JPEG))
    row = {"image_url": url.format(port=site.url.rsplit(":", 1)[1])}
    assert reason(stage(allow_hosts=[]), row) == "private_address"
    assert not site.requests


def test_allowed_name_may_be_private(site: Site) -> None:
    """A host named in allow_hosts is asked although it resolves to a private address."""
    url = site.add("/a.jpg", Answer(JPEG)).replace("127.0.0.1", "LOCALHOST")
    assert reason(stage(allow_hosts=["localhost"]), {"image_url": url}) is None


@needs_data
def test_no_hostile_url_is_asked() -> None:
    """URLs made to reach private services end in a reject, all of them."""
    lines = (DATA / "hostile" / "urls" / "ssrf.txt").read_text(encoding="utf-8").splitlines()
    rows = run(stage(allow_hosts=[], timeout_s=5, retries=0), *({"image_url": url} for url in lines))
    assert len(rows) == len(lines)
    assert {row["_reason"] for row in rows} <= {"bad_url", "private_address", "dns", "timeout", "connection"}
    literal = [row["_reason"] for url, row in zip(lines, rows, strict=True) if "//169.254" in url]
    assert literal
    assert set(literal) == {"private_address"}


@pytest.mark.parametrize(
    "host", ["0x7f000001", "0x7f.1", "127.1", "2130706433", "017700000001", "0177.0.0.1", "0", "localhost.",
             "[::ffff:7f00:1]", "[::]", "user@127.0.0.1", "127.0.0.1.", "LOCALHOST", "\uff11\uff12\uff17.0.0.1"],
)
def test_no_spelling_reaches_this_machine(site: Site, host: str) -> None:
    """Numbers in any notation, trailing dots, capitals and look-alike digits are no way round the check."""
    site.add("/a.jpg", Answer(JPEG))
    row = {"image_url": f"http://{host}:{site.url.rpartition(':')[2]}/a.jpg"}
    assert reason(stage(allow_hosts=[], retries=0), row) in {"private_address", "bad_url", "dns"}
    assert not site.requests


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.example/b", "http://", "a.jpg", "http://[1:/x",
                                 "http://127.1/x", "http://2130706433/"])
def test_only_web_addresses_are_fetched(url: str) -> None:
    """Other schemes, broken URLs and numbers that only some systems take for addresses are refused."""
    assert reason(stage(), {"image_url": url}) == "bad_url"


def test_closed_port_and_unknown_name() -> None:
    """A refused connection and a name without address are told apart."""
    refused, unknown = run(
        stage(retries=0), {"image_url": "http://127.0.0.1:1/"}, {"image_url": "http://nowhere.invalid/"}
    )
    assert (refused["_reason"], unknown["_reason"]) == ("connection", "dns")


def test_bad_tls_is_named(site: Site) -> None:
    """A server that does not speak TLS is told apart from one that is not there."""
    assert reason(stage(), {"image_url": site.url.replace("http:", "https:")}) == "tls"


def test_opt_out_can_be_overruled(site: Site) -> None:
    """Who has permission may switch the check off."""
    url = site.add("/a.jpg", Answer(JPEG, headers={"X-Robots-Tag": "noai"}))
    assert reason(stage(respect_x_robots_tag=False), {"image_url": url}) is None


def test_user_agent_tells_who_asks(site: Site) -> None:
    """Servers see the project's name and the contact."""
    run(stage(contact="https://example.org/crawl"), {"image_url": site.add("/a.jpg", Answer(JPEG))})
    [agent] = site.agents
    assert agent.startswith("showtell")
    assert agent.endswith("(+https://example.org/crawl)")


def test_given_media_need_no_request(site: Site, tmp_path: Path) -> None:
    """Bytes and files that come with the source win over the URL beside them."""
    (tmp_path / "a.jpg").write_bytes(JPEG)
    url = site.add("/a.jpg", Answer(status=404))
    by_bytes, by_path = run(
        stage(),
        {"image": {"bytes": JPEG, "path": None}, "image_url": url},
        {"image": {"bytes": None, "path": str(tmp_path / "a.jpg")}},
    )
    assert by_bytes["image_bytes"] == by_path["image_bytes"] == JPEG
    assert by_bytes["http_status"] is None
    assert not site.requests


def test_given_media_are_checked(tmp_path: Path) -> None:
    """A missing file, a folder, no bytes, too many bytes and no image are rejected like fetched ones."""
    (tmp_path / "b.jpg").write_bytes(JPEG)
    rows = run(
        stage(max_bytes=100),
        {"image": {"path": str(tmp_path / "a.jpg")}},
        {"image": {"path": str(tmp_path)}},
        {"image": {"bytes": b""}},
        {"image": {"path": str(tmp_path / "b.jpg")}},
        {"image": {"bytes": b"no picture"}},
    )
    assert [row["_reason"] for row in rows] == [
        "file_missing", "file_missing", "empty", "too_large", "not_an_image",
    ]


def test_sample_may_have_only_sound(site: Site) -> None:
    """A recording without an image goes on, image columns null; neither of them is a reject."""
    sound, nothing = run(stage(), {"audio_url": site.add("/a.wav", Answer(SOUND))}, {})
    assert sound["_reason"] is None
    assert sound["audio_bytes"] == SOUND
    assert sound["audio_sha256"] == hashlib.sha256(SOUND).hexdigest()
    assert (sound["audio_duration_s"], sound["audio_rate"], sound["audio_channels"]) == (0.5, 8000, 1)
    assert sound["audio_codec"] == "pcm_s16le"
    assert sound["image_bytes"] is None
    assert nothing["_reason"] == "nothing_to_fetch"


def test_bad_answer_costs_a_recording_its_row(site: Site) -> None:
    """Recordings are fetched under the same rules as images."""
    answers = {
        "http_404": Answer(status=404),
        "timeout": Answer(SOUND, drip_s=0.1),
        "opted_out": Answer(SOUND, headers={"X-Robots-Tag": "noai"}),
        "not_audio": Answer(b"<html>Not here</html>", headers={"Content-Type": "audio/wav"}),
        "audio_broken": Answer(SOUND[:44]),
        "too_large": Answer(SOUND, lies=0, endless=True),
        "empty": Answer(b""),
        "private_address": Answer(status=302, headers={"Location": "http://[::1]/a.wav"}),
    }
    rows = [{"audio_url": site.add(f"/{name}.wav", answer)} for name, answer in answers.items()]
    found = run(stage(slow_after_s=0.5, max_audio_bytes=100_000), *rows, {"audio_url": site.add("/a", Answer(SOUND))})
    assert [row["_reason"] for row in found] == [*answers, None]
    assert [row["audio_bytes"] for row in found] == [None] * len(answers) + [SOUND]


def test_lost_sound_costs_the_row(site: Site) -> None:
    """Where both are asked for both must come, and the detail says which did not."""
    image_url, audio_url = site.add("/a.jpg", Answer(JPEG)), site.add("/a.wav", Answer(status=404))
    [row] = run(stage(), {"image_url": image_url, "audio_url": audio_url})
    assert row["_reason"] == "http_404"
    assert row["_detail"].startswith("audio: ")


def test_sound_has_its_own_limit(site: Site) -> None:
    """The limit of images is not that of recordings."""
    url = site.add("/a.wav", Answer(SOUND))
    assert reason(stage(max_bytes=100), {"audio_url": url}) is None
    assert reason(stage(max_audio_bytes=100), {"audio_url": url}) == "too_large"


def converted(image: Image.Image, format_: str, settings: dict[str, Any], **options: Any) -> dict[str, Any]:
    data = encoded(image, format_, **options)
    [row] = run(stage(**settings), {"image": {"bytes": data}})
    assert row["_reason"] is None, row["_detail"]
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    decoded = Image.open(io.BytesIO(row["image_bytes"]))
    assert decoded.mode == "RGB"
    assert decoded.size == (row["width"], row["height"])
    return row


def clear_left(image: Image.Image) -> Image.Image:
    """Make the left half of a picture transparent."""
    image = image.convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, image.width // 2, image.height))
    return image


@pytest.mark.parametrize(
    ("image", "format_", "left"),
    [
        (photo().convert("CMYK"), "JPEG", "red"),
        (photo().convert("P"), "PNG", "red"),
        (photo().convert("P"), "GIF", "red"),
        (photo(), "BMP", "red"),
        (photo(), "TIFF", "red"),
        (clear_left(photo()), "PNG", "white"),
        (clear_left(photo()), "WEBP", "white"),
        (clear_left(photo()), "GIF", "white"),
        (clear_left(photo()).convert("LA"), "PNG", "white"),
        (Image.new("1", (40, 30), 1), "PNG", "white"),
    ],
)
def test_unusual_images_become_plain(image: Image.Image, format_: str, left: str) -> None:
    """Palettes, CMYK and formats trainers stumble on become RGB; what is transparent becomes white."""
    row = converted(image, format_, {"encode_quality": 100})
    assert row["image_format"] == "jpeg"
    assert colour(row["image_bytes"], 0.2, 0.5) == left


def test_16_bit_grey_keeps_its_levels() -> None:
    """Sixteen bits are scaled to eight, not clipped to white."""
    image = Image.new("I;16", (40, 30), 32896)
    row = converted(image, "PNG", {"encode_format": "png"})
    assert Image.open(io.BytesIO(row["image_bytes"])).getpixel((5, 5)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("mode", "settings", "size"),
    [
        ("keep_ratio", {}, (32, 16)),
        ("keep_ratio_largest", {}, (16, 8)),
        ("center_crop", {}, (16, 16)),
        ("border", {}, (16, 16)),
        ("no", {}, (64, 32)),
        ("keep_ratio", {"image_size": 48}, (64, 32)),
        ("keep_ratio", {"image_size": 48, "resize_only_if_bigger": False}, (96, 48)),
    ],
)
def test_images_are_resized_as_img2dataset_does(
    mode: str, settings: dict[str, Any], size: tuple[int, int]
) -> None:
    """Each mode gives its size, and the original's size is kept beside it."""
    row = converted(photo(64, 32), "JPEG", {"image_size": 16, "resize_mode": mode, **settings})
    assert (row["width"], row["height"]) == size
    assert (row["original_width"], row["original_height"]) == (64, 32)
    corner = "white" if mode == "border" else "red"
    assert colour(row["image_bytes"], 0.05, 0.05) == corner


def test_image_of_the_right_size_is_not_touched() -> None:
    """Where resizing would change nothing the bytes stay as they came."""
    [row] = run(stage(image_size=64), {"image": {"bytes": JPEG}})
    assert row["image_bytes"] == JPEG


@pytest.mark.parametrize("format_", ["jpg", "png", "webp"])
def test_encode_format_is_obeyed(format_: str) -> None:
    """Resized images come in the format asked for."""
    row = converted(photo(), "PNG", {"image_size": 16, "encode_format": format_})
    assert row["image_format"] == {"jpg": "jpeg"}.get(format_, format_)
    assert Image.open(io.BytesIO(row["image_bytes"])).format == row["image_format"].upper()


def test_orientation_is_applied_when_resizing() -> None:
    """A picture taken with the camera on its side is turned upright, and its size is the upright one."""
    exif = Image.Exif()
    exif[0x0112] = 6
    row = converted(photo(64, 32), "JPEG", {"image_size": 16}, exif=exif)
    assert (row["width"], row["height"]) == (16, 32)
    assert (colour(row["image_bytes"], 0.5, 0.1), colour(row["image_bytes"], 0.5, 0.9)) == ("red", "blue")
    assert not Image.open(io.BytesIO(row["image_bytes"])).getexif()


def test_picture_on_its_side_is_turned_although_its_size_fits() -> None:
    """Not every trainer reads EXIF: the bytes themselves are upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    row = converted(photo(64, 32), "JPEG", {}, exif=exif)
    assert (row["width"], row["height"]) == (32, 64)
    assert not Image.open(io.BytesIO(row["image_bytes"])).getexif()


def test_consent_is_kept_for_good_and_refused_rows(site: Site) -> None:
    """Each verdict has its source; a row that may not be used says who said so, and is not asked for."""
    site.add("/robots.txt", Answer(b"User-agent: showtell\nDisallow: /private/\n"))
    good, private, tagged = run(
        stage(),
        {"image_url": site.add("/a.jpg", Answer(JPEG))},
        {"image_url": site.add("/private/a.jpg", Answer(JPEG))},
        {"image_url": site.add("/b.jpg", Answer(JPEG, headers={"X-Robots-Tag": "noai"}))},
    )
    assert [(one["rule"], one["allowed"]) for one in good["consent"]] == [
        ("robots_txt", True), ("tdmrep", True), ("x_robots_tag", True),
    ]
    assert (private["_reason"], tagged["_reason"]) == ("robots", "opted_out")
    assert "Disallow: /private/" in private["consent"][-1]["source"]
    assert "noai" in tagged["consent"][-1]["source"]
    assert tagged["http_status"] == 200
    assert site.requests["/private/a.jpg"] == 0
    assert site.requests["/robots.txt"] == site.requests["/.well-known/tdmrep.json"] == 1


def test_expected_hash_is_checked(site: Site) -> None:
    """Another file than the source promised is rejected; a row without a promise is not."""
    url = site.add("/a.jpg", Answer(JPEG))
    sums = [hashlib.sha256(JPEG).hexdigest(), "0" * 64, None]
    rows = [{"image_url": url, "extra": json.dumps({"image_sha256": one} if one else {})} for one in sums]
    found = run(stage(verify_sha256="image_sha256"), *rows)
    assert [row["_reason"] for row in found] == [None, "hash_mismatch", None]


def test_url_of_several_parts_is_fetched_once_a_run(site: Site, tmp_path: Path) -> None:
    """Another part, in another process, finds the body; the verdicts and the status come with it."""
    url = site.add("/a.jpg", Answer(JPEG))
    [first] = run(stage(folder=tmp_path, repeated=[url]), {"image_url": url})
    [second] = run(stage(folder=tmp_path, repeated=[url]), {"image_url": url})
    assert first == second
    assert site.requests["/a.jpg"] == 1


def test_repeated_url_that_fails_is_asked_once(site: Site, tmp_path: Path) -> None:
    """Another part of the same run takes the first one's word for it, verdicts included; a new run asks again."""
    url = site.add("/a.jpg", Answer(status=404))
    download = stage(folder=tmp_path, repeated=[url])
    assert run(download, {"image_url": url}) == run(download, {"image_url": url})
    assert site.requests["/a.jpg"] == 1
    assert reason(stage(folder=tmp_path, repeated=[url]), {"image_url": url}) == "http_404"
    assert site.requests["/a.jpg"] == 2


def test_url_of_several_batches_is_a_repeat() -> None:
    """Parts may be larger than batches: a URL in two batches of one part is found, two in one batch are none."""
    download = Download(DownloadConfig(use="download", batch_rows=2))
    urls = ["http://a/1", "http://a/1", "http://a/2", "http://a/3", "http://a/2"]
    part = pa.table({"image_url": urls, "audio_url": [None] * 5})
    twice = find_repeats(iter([["http://a/2"]] * 2))
    assert download.survey(iter([part])) == twice


def test_too_many_pixels_are_refused_undecoded() -> None:
    """The limit is checked on the size the header gives."""
    assert reason(stage(max_pixels=1000), {"image": {"bytes": JPEG}}) == "too_many_pixels"


def test_bomb_is_refused() -> None:
    """A small file that claims gigapixels is not decoded."""
    data = bytearray(encoded(photo(), "BMP"))
    data[18:26] = (40_000).to_bytes(4, "little") * 2
    assert reason(stage(), {"image": {"bytes": bytes(data)}}) == "decode_bomb"


def test_wrong_settings_are_refused() -> None:
    """A quality no encoder knows is a config mistake."""
    with pytest.raises(ValidationError, match="encode_quality"):
        DownloadConfig(use="download", encode_quality=101)
