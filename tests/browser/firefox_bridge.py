"""A Firefox as Playwright takes it: between the two, one command is answered that Firefox lacks.

    python firefox_bridge.py FIREFOX ARGUMENT ...

Playwright drives an unpatched Firefox through WebDriver BiDi, W3C's protocol. It sets the colour
scheme of each new page with a command that Firefox ESR does not know yet, and gives up. Here that
answer is taken for a yes: the page then keeps the system's scheme. All else passes as it is.
"""

import asyncio
import json
import re
import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

UNKNOWN = "emulation.setMediaFeaturesOverride"
_LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_LARGEST = 1 << 30  # bytes of a message: pictures of pages pass here


class Bridge(WebSocketHandler):
    """One connection of Playwright's, and the one to Firefox behind it."""

    def initialize(self, firefox: str) -> None:
        self.firefox, self.asked = firefox, set()

    async def open(self) -> None:
        self.behind = asyncio.ensure_future(self._listen())
        self.upstream = await websocket_connect(self.firefox, max_message_size=_LARGEST)
        self.opened.set()

    def prepare(self) -> None:
        self.opened = asyncio.Event()

    async def on_message(self, message: str) -> None:
        await self.opened.wait()
        if UNKNOWN in message:
            command = json.loads(message)
            self.asked |= {command["id"]} if command.get("method") == UNKNOWN else set()
        await self.upstream.write_message(message)

    async def _listen(self) -> None:
        await self.opened.wait()
        while (message := await self.upstream.read_message()) is not None:
            if self.asked and '"unknown command"' in message:
                answer = json.loads(message)
                if answer.get("id") in self.asked:
                    message = json.dumps({"type": "success", "id": answer["id"], "result": {}})
            await self.write_message(message)
        self.close()

    def on_close(self) -> None:
        if self.opened.is_set():
            self.upstream.close()


async def main(command: list[str]) -> int:
    firefox = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    while line := (await firefox.stderr.readline()).decode(errors="replace"):
        if found := _LISTENING.search(line):
            line = f"WebDriver BiDi listening on {serve(found[1])}\n"
        print(line, end="", file=sys.stderr, flush=True)
    return await firefox.wait()


def serve(firefox: str) -> str:
    """Start the bridge to the Firefox at this address; return its own."""
    handlers = [("/session", Bridge, {"firefox": f"{firefox}/session"})]
    (socket,) = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application(handlers, websocket_max_message_size=_LARGEST))
    server.add_socket(socket)
    return f"ws://127.0.0.1:{socket.getsockname()[1]}"


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
