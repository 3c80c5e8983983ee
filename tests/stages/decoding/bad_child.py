"""A decoding process that is told what to do by the bytes it is given: what a broken decoder could do, really done.

    python bad_child.py
"""

from __future__ import annotations

import os
import signal
import time

import cv2

import stages.decoding.child as child
from schemas.errors import Reject
from stages.decoding.finished import Finished
from stages.decoding.settings import ImageSettings


def misbehave(data: bytes, _: ImageSettings) -> Finished:
    """Do what the data says."""
    match data:
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"exit":
            os._exit(3)
        case b"hang":
            time.sleep(1000)
        case b"spin":
            while True:
                pass
        case b"balloon":
            held = []
            while True:
                held.append(bytearray(2**24))
        case b"fill":
            os.ftruncate(os.memfd_create("full"), 2**40)
        case b"opencv":
            raise cv2.error("anything")
        case b"print":
            os.write(1, b"not a word of the protocol")
        case b"pid":
            raise Reject("pid", str(os.getpid()))
    return Finished(data, "png", 1, 1, 1, 1, "", "")


def warm_up() -> None:
    """Need nothing."""


child.finish = misbehave
child._warm_up = warm_up  # it would ask for a picture
child.main()
