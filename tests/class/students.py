"""A student at a class's server, over HTTP: signs up, logs in, runs code in a kernel of his own."""

import json
import re
import time
import uuid
from http.cookiejar import CookieJar
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

from tornado.httpclient import HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

PASSWORD = "a long enough one"


class Student:
    """One at the server of ``address``, such as ``http://127.0.0.1:8000``."""

    def __init__(self, address: str, name: str):
        self.address, self.name, self.cookies = address, name, CookieJar()
        self.at = address  # where the last answer came from
        self._open = build_opener(HTTPCookieProcessor(self.cookies)).open

    def ask(self, path, data=None, method=None, headers=()):
        """Return (status, text); ``data`` is a form where it is a dict, else text."""
        body = urlencode(data) if isinstance(data, dict) else data
        url = path if path.startswith("http") else self.address + path
        request = Request(url, body and body.encode(), dict(headers), method=method)
        try:
            with self._open(request, timeout=120) as answer:
                self.at = answer.url
                return answer.status, answer.read().decode("utf-8", "replace")
        except HTTPError as error:
            return error.code, error.read().decode("utf-8", "replace")

    def form(self, path, **fields):
        """Fill in the form of a page, with the token that the page brings."""
        _, page = self.ask(path)
        token = re.search(r'name="_xsrf"\s+value="([^"]*)"', page)[1]
        return self.ask(path, {"_xsrf": token, **fields})

    def sign_up(self, password=PASSWORD, **fields):
        twice = {"signup_password": password, "signup_password_confirmation": password}
        return self.form("/hub/signup", username=self.name, **twice, **fields)

    def log_in(self, password=PASSWORD):
        return self.form("/hub/login", username=self.name, password=password)

    def start(self, seconds=180):
        """Start his Jupyter server, and wait until it answers."""
        self.ask("/hub/spawn")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status, _ = self.ask(f"/user/{self.name}/lab")
            if status == 200 and "/hub/" not in self.at and self.api("status")[0] == 200:
                return
            time.sleep(0.5)
        raise AssertionError(f"the server of {self.name} did not start")

    def api(self, path, data=None, method=None):
        """Ask his own Jupyter server."""
        token = [one.value for one in self.cookies if one.name == "_xsrf" and "user" in one.path]
        headers = {"X-XSRFToken": token[-1] if token else "", "Content-Type": "application/json"}
        body = None if data is None else json.dumps(data)
        return self.ask(f"/user/{self.name}/api/{path}", body, method, headers)

    def kernel(self):
        status, text = self.api("kernels", {"name": "python3"}, "POST")
        assert status == 201, text
        return json.loads(text)["id"]

    def run(self, kernel, code, seconds=120):
        """Run code; return what it printed or gave, or its error as text."""
        return IOLoop.current().run_sync(lambda: self._run(kernel, code), timeout=seconds)

    async def _run(self, kernel, code):
        request = Request(f"{self.address}/user/{self.name}/api")
        self.cookies.add_cookie_header(request)
        url = f"ws{self.address[4:]}/user/{self.name}/api/kernels/{kernel}/channels"
        headers = {"Cookie": request.get_header("Cookie")}
        socket = await websocket_connect(HTTPRequest(url, headers=headers))
        asked = uuid.uuid4().hex
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        header = {"msg_id": asked, "msg_type": "execute_request", "username": "", "session": asked}
        header["version"] = "5.3"
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await socket.write_message(json.dumps(message | {"channel": "shell", "buffers": []}))
        said = []
        while (text := await socket.read_message()) is not None:
            got = json.loads(text)
            if got["parent_header"].get("msg_id") != asked:
                if got["content"].get("execution_state") in ("restarting", "dead"):
                    said.append("kernel died")
                    break
                continue
            content = got["content"]
            said.append(content.get("text") or content.get("data", {}).get("text/plain") or "")
            if got["msg_type"] == "error":
                said.append(f"{content['ename']}: {content['evalue']}")
            if content.get("execution_state") == "idle":
                break
        socket.close()
        return "".join(said)
