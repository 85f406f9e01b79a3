"""Who may come: students sign up; the teacher admits each, or whoever knows the class's code."""

import hmac
from pathlib import Path

from jupyterhub.handlers.login import LoginHandler
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.handlers import SignUpHandler
from student_spawner import TEACHER
from traitlets import Enum, Unicode


class ClassAuthenticator(NativeAuthenticator):
    """Makes the teacher's account before anyone else can take its name."""

    folder = Unicode(config=True, help="the course's folder")
    admit = Enum(["teacher", "code"], "teacher", config=True, help="who lets students in")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.open_signup = self.admit == "code"
        if not self.user_exists(TEACHER):
            self.create_user(TEACHER, self.secret("teacher_password"), is_authorized=True)
        if self.open_signup:
            self.secret("class_code")  # better no hub than one that admits anyone

    def secret(self, name: str) -> str:
        """What `make hub` drew and wrote for the teacher alone to read."""
        place = Path(self.folder) / "hub" / "state" / name
        drawn = place.read_text("utf-8").strip()
        if not drawn:
            raise ValueError(f"{place} is empty: end the hub, delete the file, start again")
        return drawn

    def get_handlers(self, app):
        own = {r"/login": LogIn, r"/signup": SignUp}
        return [(path, own.get(path, handler)) for path, handler in super().get_handlers(app)]


class LogIn(LoginHandler):
    """JupyterHub's own: nativeauthenticator 1.3 calls what JupyterHub 6 no longer has."""

    async def _render(self, login_error=None, username=None):
        user = self.authenticator.get_user(username) if login_error and username else None
        if user and not user.is_authorized:
            login_error = "Your teacher has not admitted you yet."
        return await super()._render(login_error, username)


def same(one: str, other: str) -> bool:
    """Whether two texts are the same, in a time that tells nothing."""
    return hmac.compare_digest(one.encode(), other.encode())


class SignUp(SignUpHandler):
    """Where there is a class's code, makes an account for who types it."""

    async def post(self):
        native = self.authenticator
        given = self.get_body_argument("class_code", "").strip().lower()
        if native.admit == "teacher" or same(given, native.secret("class_code")):
            await super().post()
            return
        said = "This is not the class's code. Ask your teacher for it."
        self.set_status(403)
        page = {"alert": "alert-danger", "result_message": said}
        self.finish(await self.render_template("signup.html", **page))
