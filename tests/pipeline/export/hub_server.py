"""The part of the Hugging Face hub that an upload talks to, on 127.0.0.1: repositories with their files and commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TOKEN = "hf_of_the_test"


@dataclass
class Hub:
    """What the hub holds.

    Attributes:
        address: its endpoint.
        private: repository -> whether it is private.
        files: repository -> files, by path.
        commits: repository -> summary of each commit.
        blobs: content of large files by SHA-256.
        uploads: large files sent, by SHA-256, in order.
        refuse: status with which uploads of large files are refused.
    """

    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commits: dict[str, list[str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    refuse: int = 0

    def create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        """Make a repository, or say that it is there."""
        name = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        assert wanted["type"] == "dataset"
        if name in self.files:
            return 409, {"error": "You already created this dataset repo", "url": f"{self.address}/datasets/{name}"}
        self.files[name], self.commits[name], self.private[name] = {}, [], wanted.get("visibility") == "private"
        return 200, {"url": f"{self.address}/datasets/{name}", "id": name}

    def commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        """Apply a commit whole."""
        files = dict(self.files[name])
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.commits[name].append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.files[name] = files
        oid = f"{len(self.commits[name]):040x}"
        return 200, {"commitUrl": f"{self.address}/datasets/{name}/commit/{oid}", "commitOid": oid, "success": True}

    def batch(self, objects: list[dict[str, Any]]) -> tuple[int, Any]:
        """Say where large files go; those that are there need not be sent again."""
        answers = []
        for wanted in objects:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.blobs:
                answer["actions"] = {"upload": {"href": f"{self.address}/blobs/{wanted['oid']}"}}
            answers.append(answer)
        return 200, {"transfer": "basic", "objects": answers}

    def tree(self, name: str) -> list[dict[str, Any]]:
        """List a repository's files."""
        return [
            {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for path, data in self.files[name].items()
        ]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid username or password."})
        elif path == "/api/whoami-v2":
            self._answer(200, {"type": "user", "name": "tester", "auth": {"type": "access_token"}})
        elif named := re.fullmatch(r"/api/datasets/(.+?)/tree/.+", path):
            self._answer(200, self.hub.tree(named[1]))
        elif named := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(/revision/main)?", path):
            name = named[1]
            siblings = [{"rfilename": file} for file in self.hub.files[name]]
            self._answer(200, {"id": name, "sha": f"{len(self.hub.commits[name]):040x}", "siblings": siblings})
        else:
            self._answer(404, {"error": f"no such page: {path}"})

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        if path == "/api/repos/create":
            self._answer(*self.hub.create(json.loads(body)))
        elif path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif re.fullmatch(r"/api/datasets/(.+)/preupload/main", path):
            modes = [
                {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(".parquet") else "regular",
                 "shouldIgnore": False, "oid": None} for file in json.loads(body)["files"]
            ]
            self._answer(200, {"files": modes})
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._answer(*self.hub.batch(json.loads(body)["objects"]))
        elif named := re.fullmatch(r"/api/datasets/(.+)/commit/main", path):
            self._answer(*self.hub.commit(named[1], [json.loads(line) for line in body.splitlines()]))
        else:
            self._answer(404, {"error": f"no such page: {path}"})

    def do_PUT(self) -> None:
        oid, body = self.path.rsplit("/", 1)[-1], self._body()
        if self.hub.refuse:
            self._answer(self.hub.refuse, {"error": "storage is full"})
            return
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.blobs[oid] = body
        self.hub.uploads.append(oid)
        self._answer(200, {})

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve a hub without repositories."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
