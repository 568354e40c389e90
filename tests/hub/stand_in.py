"""A stand-in for the Hugging Face hub: as much of its HTTP API as pushing and opening need.

Repositories are in memory, each with one branch. What the hub itself refuses is refused here
too: requests without a token, and cards whose front matter has a wrong license or data set.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_of_this_test"
# As the hub has it for model-index[…].results[…].dataset.type and datasets[…].
DATASET = re.compile(r"(?:[\w-]+/)?[\w\-.]+", re.ASCII)


class Hub:
    """What was pushed.

    Attributes:
        address: where it listens.
        repos: files of each repository by name.
        private: whether it was made so.
        commits: message and names of files of each commit, in order.
    """

    def __init__(self) -> None:
        self.address = ""
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.commits: list[tuple[str, list[str]]] = []

    def commit(self, repo: str) -> str:
        """The name of its last commit."""
        digest = hashlib.sha1(repo.encode())
        for name, content in sorted(self.repos[repo].items()):
            digest.update(name.encode() + content)
        return digest.hexdigest()


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that listens on this machine."""
    hub = Hub()

    class Handler(_Handler):
        known = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def problems(card: str) -> list[str]:
    """What the hub says of a card's front matter."""
    front = yaml.safe_load(card.split("---")[1])
    found = []
    if front.get("license", "mit") not in ("apache-2.0", "mit", "cc-by-4.0"):
        found.append('"license" must be one of the list')
    results = [r for entry in front.get("model-index", ()) for r in entry["results"]]
    named = [*front.get("datasets", ()), *(result["dataset"]["type"] for result in results)]
    found += [f'"{name}" is no data set' for name in named if not DATASET.fullmatch(name)]
    return found


class _Handler(BaseHTTPRequestHandler):
    known: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid username or password."})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            errors = [{"message": text} for text in problems(json.loads(body)["content"])]
            self._answer(400 if errors else 200, {"errors": errors, "warnings": []})
        elif "/preupload/" in path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self._answer(200, {"files": files})
        elif "/commit/" in path:
            self._commit(path.removeprefix("/api/models/").partition("/commit/")[0], body)
        else:
            self._answer(404, {"error": f"no {path} here"})

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        new = name not in self.known.repos
        if new:
            self.known.repos[name] = {}
            self.known.private[name] = bool(
                asked.get("private") or asked.get("visibility") == "private"
            )
        self._answer(200 if new else 409, {"url": f"{self.known.address}/{name}", "name": name})

    def _commit(self, repo: str, body: bytes) -> None:
        message, names = "", []
        for entry in map(json.loads, body.splitlines()):
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
            else:
                self.known.repos[repo][value["path"]] = base64.b64decode(value["content"])
                names.append(value["path"])
        self.known.commits.append((message, sorted(names)))
        oid = self.known.commit(repo)
        url = f"{self.known.address}/{repo}/commit/{oid}"
        self._answer(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        listed = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path)
        info = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        match = listed or info or file
        if match is None or match[1] not in self.known.repos:
            self._answer(404, {"error": "Repository not found"}, **{"X-Error-Code": "RepoNotFound"})
            return
        files, commit = self.known.repos[match[1]], self.known.commit(match[1])
        if match[2] not in ("main", commit):
            code = {"X-Error-Code": "RevisionNotFound"}
            self._answer(404, {"error": "Invalid rev id"}, **code)
        elif listed:
            tree = [
                {"type": "file", "path": name, "size": len(files[name]), "oid": _oid(files[name])}
                for name in files
            ]
            self._answer(200, tree)
        elif info:
            siblings = [{"rfilename": name} for name in files]
            self._answer(200, {"id": match[1], "sha": commit, "siblings": siblings})
        elif file and file[3] in files:
            content = files[file[3]]
            headers = {"X-Repo-Commit": commit, "ETag": f'"{_oid(content)}"'}
            self._send(200, content, "application/octet-stream", headers)
        else:
            self._answer(404, {"error": "Entry not found"}, **{"X-Error-Code": "EntryNotFound"})

    def _answer(self, status: int, content: Any, **headers: str) -> None:
        self._send(status, json.dumps(content).encode(), "application/json", headers)

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        said = {"Content-Type": kind, "Content-Length": str(len(content)), **headers}
        for key, value in said.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def _oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
