"""Students of a class, simulated: each signs up, runs the core of a lesson and hands it in.

They do what a browser does, by the same addresses of the hub: forms with their tokens, cookies,
redirects, JupyterLab's page with its scripts, the notebook, a kernel's websocket, the save that
hands it in. ``tools/load.py`` starts thirty of them.
"""

import asyncio
import html
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx
from nbformat import NotebookNode, v4
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from lessons_lib.course.classroom import _assignments

PATIENCE = 600.0  # seconds until a student gives up on a page, a server or a cell
LARGEST_MESSAGE = 64 * 2**20
_INPUT = re.compile(r"<input\b[^>]*>")
_FORM = re.compile(r"<form\b[^>]*action=\"([^\"]*)\"[^>]*>(.*?)</form>", re.DOTALL)
_ATTRIBUTE = re.compile(r"(\w+)=\"([^\"]*)\"")
_SCRIPT = re.compile(r"<script\b[^>]*\bsrc=\"([^\"]+)\"")
_ALERT = re.compile(r"class=\"alert alert-(\w+)\" role=\"alert\">(.*?)</", re.DOTALL)
_TEXT = re.compile(r"<[^>]*>")


class Trouble(RuntimeError):
    """What a student met that should not be: the page, the cell, and what it said."""


@dataclass
class Diary:
    """What one student did, in seconds: of each step, and of each cell by its id."""

    name: str
    steps: dict[str, float] = field(default_factory=dict)
    cells: dict[str, float] = field(default_factory=dict)
    done: float = 0.0  # seconds since the class began
    trouble: str = ""


@dataclass(frozen=True)
class Task:
    """What the class is told to do: a notebook, its right answers, the code to sign up with."""

    file: str  # its path in a student's home
    solved: dict[str, str]  # the source of each exercise's cell, by the cell's id
    code: str


def core(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells up to the first section that is called *Deeper*."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## Deeper"):
            break
        if cell.cell_type == "code":
            cells.append(cell)
    return cells


def answers(number: int) -> dict[str, str]:
    """The source of each exercise's cell as the folded solution has it, by the cell's id."""
    cells = _assignments.teachers(number).cells
    return {
        cell.id: cell.source for cell in cells if "blank" in cell.metadata.get(_assignments.KEY, {})
    }


class Student:
    """One student with a browser of his own: cookies, a name and a password."""

    def __init__(self, address: str, name: str, password: str):
        self.address, self.name, self.password = address.rstrip("/"), name, password
        self.diary = Diary(name)
        # Loopback only: no proxy of the surroundings, no certificates.
        self.browser = httpx.AsyncClient(
            base_url=self.address, follow_redirects=True, timeout=PATIENCE, verify=False,
            trust_env=False, headers={"Sec-Fetch-Mode": "navigate", "Accept": "text/html,*/*"},
        )  # fmt: skip
        self.home = f"/user/{name}/"

    async def take(self, task: Task, began: float) -> Diary:
        """Go the whole way, from the sign-up to the submission; trouble ends up in the diary."""
        steps = {
            "sign up": lambda: self.sign_up(task.code),
            "log in": self.log_in,
            "server": self.start_server,
            "open": lambda: self.open(task.file),
            "run": lambda: self.run(task.solved),
            "hand in": lambda: self.hand_in(task.file),
        }
        try:
            for step, go in steps.items():
                start = time.perf_counter()
                await go()
                self.diary.steps[step] = time.perf_counter() - start
        except Exception as error:  # whatever it was: it is counted, and the others go on
            self.diary.trouble = f"{step}: {type(error).__name__}: {error}"[:500]
        self.diary.done = time.perf_counter() - began
        return self.diary

    # ---- the hub's pages

    async def sign_up(self, code: str) -> None:
        """Fill in the form of /hub/signup."""
        page = await self.page("/hub/signup")
        known = {"username": self.name, "class_code": code}
        known |= dict.fromkeys(("signup_password", "signup_password_confirmation"), self.password)
        answer = await self.fill(page, known)
        said = _ALERT.search(answer.text)
        if not said or said[1] == "danger":
            raise Trouble(f"not signed up: {text_of(said[2] if said else answer.text)[:200]}")

    async def log_in(self) -> None:
        """Fill in the form of /hub/login."""
        page = await self.page("/hub/login")
        answer = await self.fill(page, {"username": self.name, "password": self.password})
        if answer.url.path.endswith("/login"):
            raise Trouble(f"not logged in: {text_of(answer.text)[:200]}")

    async def start_server(self) -> None:
        """Ask for the server, wait until it is there, and load JupyterLab with its scripts."""
        await self.page("/hub/spawn")
        lab = await self.page(f"{self.home}lab")
        while not lab.url.path.startswith(f"{self.home}lab"):
            await asyncio.sleep(1)  # the page that waits listens for events; asking does as well
            lab = await self.page(f"{self.home}lab")
        for script in _SCRIPT.findall(lab.text):
            await self.page(html.unescape(script))

    async def page(self, path: str) -> httpx.Response:
        answer = await self.browser.get(path)
        # A server that is not there yet says 503 or 424, and shows the page on which one waits.
        if answer.status_code >= 400 and answer.status_code not in (424, 503):
            raise Trouble(f"{path}: {answer.status_code} {text_of(answer.text)[:200]}")
        return answer

    async def fill(self, page: httpx.Response, known: dict[str, str]) -> httpx.Response:
        """Send the page's form: what it holds already, and what the student knows."""
        action, inside = _FORM.search(page.text).groups()
        inputs = [dict(_ATTRIBUTE.findall(tag)) for tag in _INPUT.findall(inside)]
        values = {
            one["name"]: html.unescape(one.get("value", "")) for one in inputs if "name" in one
        }
        sent = {name: known.get(name, value) for name, value in values.items()}
        target = page.url.join(html.unescape(action))
        answer = await self.browser.post(target, data=sent, headers={"Referer": str(page.url)})
        if answer.status_code >= 400:
            raise Trouble(f"{target.path}: {answer.status_code} {text_of(answer.text)[:200]}")
        return answer

    # ---- the server of his own

    async def ask(self, method: str, path: str, **more: object) -> httpx.Response:
        """Call the student's own server as JupyterLab does."""
        tokens = [
            c.value for c in self.browser.cookies.jar if c.name == "_xsrf" and c.path == self.home
        ]
        headers = {"X-XSRFToken": tokens[-1] if tokens else "", "Sec-Fetch-Mode": "cors"}
        headers["Referer"] = f"{self.address}{self.home}lab"
        answer = await self.browser.request(method, f"{self.home}{path}", headers=headers, **more)
        if answer.status_code >= 400:
            raise Trouble(f"{method} {path}: {answer.status_code} {text_of(answer.text)[:200]}")
        return answer

    async def open(self, file: str) -> None:
        """Read the notebook, once it is there, and start its kernel."""
        while await self.missing(file):
            await asyncio.sleep(1)
        answer = await self.ask("GET", f"api/contents/{file}?content=1")
        self.notebook = v4.reads(json.dumps(answer.json()["content"]))
        session = {"path": file, "name": file, "type": "notebook"}
        session["kernel"] = {"name": self.notebook.metadata.kernelspec["name"]}
        self.session = (await self.ask("POST", "api/sessions", json=session)).json()

    async def missing(self, file: str) -> bool:
        """Look into each folder on the way, as the file browser does."""
        *folders, name = file.split("/")
        for depth, wanted in enumerate([*folders[1:], name], 1):
            answer = await self.ask("GET", f"api/contents/{'/'.join(folders[:depth])}?content=1")
            if wanted not in {one["name"] for one in answer.json()["content"]}:
                return True
        return False

    async def run(self, solved: dict[str, str]) -> None:
        """Run the core cell by cell, with the answers."""
        async with Kernel(self, self.session["kernel"]["id"]) as kernel:
            for number, cell in enumerate(core(self.notebook), 1):
                cell.source = solved.get(cell.id, cell.source)
                start = time.perf_counter()
                cell.outputs = await kernel.execute(cell.source)
                self.diary.cells[cell.id] = time.perf_counter() - start
                cell.execution_count = number
                look_at(cell, cell.id in solved)

    async def hand_in(self, file: str) -> None:
        """Save the notebook where the teacher collects it, and end its kernel."""
        model = {"type": "notebook", "format": "json", "content": self.notebook}
        await self.ask("PUT", f"api/contents/{file}", json=model)
        await self.ask("DELETE", f"api/sessions/{self.session['id']}")


class Kernel:
    """A kernel's websocket: messages as JSON, sent and answered one cell after the other."""

    def __init__(self, student: Student, kernel: str):
        self.student, self.kernel, self.session = student, kernel, uuid.uuid4().hex

    async def __aenter__(self) -> "Kernel":
        student = self.student
        path = f"{student.home}api/kernels/{self.kernel}/channels"
        cookies = {c.name: c.value for c in student.browser.cookies.jar if path.startswith(c.path)}
        query = {"session_id": self.session, "_xsrf": cookies.get("_xsrf", "")}
        address = f"{student.address.replace('http', 'ws', 1)}{path}?{urlencode(query)}"
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())}
        headers["Origin"] = student.address
        self.socket: WebSocketClientConnection = await websocket_connect(
            HTTPRequest(address, headers=headers, connect_timeout=PATIENCE),
            max_message_size=LARGEST_MESSAGE, 
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()

    async def execute(self, source: str) -> list[NotebookNode]:
        """Run one cell and return its outputs, once the kernel has answered and is idle."""
        content = {
            "code": source, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        header = {
            "msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3",
            "session": self.session, "username": self.student.name, "date": "",
        }  # fmt: skip
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await self.socket.write_message(json.dumps(message | {"channel": "shell", "buffers": []}))
        outputs, waiting = [], {"execute_reply", "idle"}
        async for kind, said in self._answers(header["msg_id"]):
            if kind in ("stream", "display_data", "execute_result", "error"):
                outputs.append(v4.output_from_msg({"header": {"msg_type": kind}, "content": said}))
            waiting -= {kind, said.get("execution_state")}
            if not waiting:
                return outputs
        raise Trouble("the kernel's websocket was closed")

    async def _answers(self, to: str) -> AsyncIterator[tuple[str, dict]]:
        while True:
            text = await asyncio.wait_for(self.socket.read_message(), PATIENCE)
            if text is None:
                return
            message = json.loads(text)
            if message["parent_header"].get("msg_id") == to:
                yield message["header"]["msg_type"], message["content"]


def look_at(cell: NotebookNode, answered: bool) -> None:
    """Raise Trouble where a cell failed that should not, or did not where it should.

    An answered exercise ends with its check; the answers are right, so the check has to say so.
    """
    errors = [one for one in cell.outputs if one.output_type == "error"]
    expected = "raises-exception" in cell.metadata.get("tags", ())
    if errors and not expected:
        raise Trouble(f"cell {cell.id}: {errors[0].ename}: {errors[0].evalue[:200]}")
    if expected and not errors:
        raise Trouble(f"cell {cell.id} was to fail and did not")
    said = said_in(cell)
    if answered and re.search(r"Exercise \S+: not ", said):
        raise Trouble(f"cell {cell.id}: its check refuses the solution: {said[-200:]}")


def said_in(cell: NotebookNode) -> str:
    """The text of a cell's outputs."""
    said = (one.get("text") or one.get("data", {}).get("text/plain", "") for one in cell.outputs)
    return "".join(said)


def text_of(page: str) -> str:
    """A page's words, without its tags and scripts."""
    return " ".join(
        _TEXT.sub(" ", re.sub(r"(?s)<(script|style).*?</\1>|^.*?<body", "", page)).split()
    )
