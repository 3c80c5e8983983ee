"""Which changes to a photograph ``dedupe`` sees through, and which different photographs it takes for one.

    python -m bench.dedupe_recall PHOTOS_FOLDER [--model CLIP]

Of every photograph copies are planted: re-encoded, resized, cropped by 5%, with small changes of colour, mirrored. For
each kind of copy the share that is found is printed, for several limits; and of all pairs of different photographs,
copies included, the share that is falsely taken for duplicates. Hashes are ``download``'s, embeddings the model's.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from stages.benchmarks.files import image_files
from stages.decoding.images import finish
from stages.decoding.settings import ImageSettings
from stages.dedupe import DedupeConfig
from stages.duplicates.columns import hex_words

Picture = Image.Image
DISTANCES = (0, 2, 4, 6, 8, 10, 12)
COSINES = (0.9, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995)
DEFAULT_DISTANCE = DedupeConfig(use="dedupe").near or 0


def encoded(image: Picture, form: str = "JPEG", quality: int = 95) -> bytes:
    """Return an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality)
    return buffer.getvalue()


def cropped(image: Picture, left: float, top: float, right: float, bottom: float) -> bytes:
    """Return an image without some share of each side."""
    width, height = image.size
    return encoded(image.crop((round(width * left), round(height * top), round(width * (1 - right)),
                               round(height * (1 - bottom)))))


def resized(image: Picture, width: float, height: float) -> bytes:
    """Return an image at another size."""
    return encoded(image.resize((round(width), round(height)), Image.Resampling.LANCZOS))


COPIES: Mapping[str, Callable[[Picture], bytes]] = {
    "re-encoded: JPEG 75": lambda image: encoded(image, quality=75),
    "re-encoded: JPEG 30": lambda image: encoded(image, quality=30),
    "re-encoded: WebP 50": lambda image: encoded(image, "WEBP", 50),
    "resized: half": lambda image: resized(image, image.width / 2, image.height / 2),
    "resized: double": lambda image: resized(image, image.width * 2, image.height * 2),
    "resized: 224 x 224": lambda image: resized(image, 224, 224),
    "crop: 5% of the width, left": lambda image: cropped(image, 0.05, 0, 0, 0),
    "crop: 5% of the height, top": lambda image: cropped(image, 0, 0.05, 0, 0),
    "crop: 5% of both, all around": lambda image: cropped(image, 0.025, 0.025, 0.025, 0.025),
    "colour: 10% brighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.1)),
    "colour: 15% less contrast": lambda image: encoded(ImageEnhance.Contrast(image).enhance(0.85)),
    "colour: 30% more saturated": lambda image: encoded(ImageEnhance.Color(image).enhance(1.3)),
    "mirrored": lambda image: encoded(ImageOps.mirror(image)),
}


def embedded(files: Sequence[bytes], model: str) -> NDArray[np.float16]:
    """Return the embeddings of some files, as ``clip_score`` keeps them."""
    from stages.models.clip import load_clip

    scorer = load_clip(model, "auto", "auto")
    vectors = [vector for vector in scorer.embed_images(files) if not isinstance(vector, Exception)]
    return np.stack(vectors).astype(np.float16)


def show(name: str, limits: Sequence[float], near: Callable[[float], NDArray[np.bool_]], photos: int) -> None:
    """Print a table of recall by kind of copy, and of false pairs.

    Args:
        name: what the limits are of.
        limits: the columns.
        near: gives for a limit which files are duplicates, (files, files); files are in order of kind, then photograph.
        photos: how many photographs there are.
    """
    found = [near(limit) for limit in limits]
    photo = np.arange(len(found[0])) % photos
    different = np.triu(photo[:, None] != photo)
    print(f"\n| {name} | {' | '.join(f'{limit:g}' for limit in limits)} |\n| --- |{' --- |' * len(limits)}")
    for kind, label in enumerate(COPIES, start=1):
        rows = np.arange(photos)
        shares = [matrix[rows, kind * photos + rows].mean() for matrix in found]
        print(f"| {label} | {' | '.join(f'{share:.3f}' for share in shares)} |")
    false = [(matrix & different).sum() for matrix in found]
    print(f"| false pairs of {different.sum():,} | {' | '.join(f'{number:,}' for number in false)} |")
    print(f"| false pairs, share | {' | '.join(f'{number / different.sum():.5f}' for number in false)} |")


def main() -> None:
    """Print the table of hashes, and with a model that of embeddings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model")
    given = parser.parse_args()
    originals = [file.read_bytes() for file in image_files(str(given.photos))]
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in originals]
    files = [*originals, *(make(picture) for make in COPIES.values() for picture in pictures)]
    finished = [finish(data, ImageSettings(use="download")) for data in files]
    codes = hex_words([image.phash for image in finished], "phash")[:, 0]
    differ = np.bitwise_count(codes[:, None] ^ codes)
    print(f"{len(originals)} photographs, {len(COPIES)} copies of each")
    show("bits that may differ", DISTANCES, lambda limit: differ <= limit, len(originals))
    if given.model:
        vectors = embedded([image.data for image in finished], given.model).astype(np.float32)
        cosines = vectors @ vectors.T
        show("least cosine", COSINES, lambda limit: cosines >= limit, len(originals))
        by_hash = differ <= DEFAULT_DISTANCE
        name = f"at most {DEFAULT_DISTANCE} bits, or at least this cosine"
        show(name, COSINES, lambda limit: by_hash | (cosines >= limit), len(originals))


if __name__ == "__main__":
    main()
