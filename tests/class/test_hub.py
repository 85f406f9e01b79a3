"""A class's server: who comes in, what a student can and cannot reach, what is refused, and why."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from class_server import Server, free_port, made_course, needs_server, own_environment, running
from students import Student
from traitlets.config import Config

from lessons_lib import files

HUB = files.ROOT / "deploy" / "hub"


@pytest.fixture(scope="module")
def ada(server):
    return come(server, "ada")


@pytest.fixture(scope="module")
def bob(server):
    return come(server, "bob")


def come(server, name):
    """Sign up with the class's code, log in, start a server and a kernel."""
    student = Student(server.address, name)
    status, page = student.sign_up(class_code=server.secret("class_code"))
    assert (status, "was successful" in page) == (200, True)
    student.log_in()
    student.start()
    student.k = student.kernel()
    return student


def says(student, code):
    return student.run(student.k, code).strip()


# ---- who comes in


@needs_server
def test_without_the_classs_code_nobody_gets_an_account(server):
    student = Student(server.address, "eve")
    for code in ("", "12345678", "é"):
        status, page = student.sign_up(class_code=code)
        assert (status, "This is not the class&#39;s code" in page) == (403, True)
    student.log_in()
    assert "Invalid username or password" in student.log_in()[1]


@needs_server
@pytest.mark.parametrize("name", ["teacher", "..", ".trial", "a/b", "a b", "-a", "a-", "x" * 40])
def test_no_name_is_the_teachers_or_a_path(server, name):
    student = Student(server.address, name)
    _, page = student.sign_up(class_code=server.secret("class_code"))
    assert "Something went wrong" in page
    assert name in ("..",) or not (server.folder / "hub" / "homes" / name).exists()


@needs_server
def test_the_teacher_admits(course):
    """Nobody can take his name, his password is the one that was drawn, and he decides."""
    with running(Server(f"http://127.0.0.1:{free_port()}", course)) as server:
        student, teacher = Student(server.address, "ida"), Student(server.address, "teacher")
        assert "sent to the admin" in student.sign_up()[1]
        assert "Your teacher has not admitted you yet." in student.log_in()[1]
        assert "already in use" in teacher.sign_up()[1]
        teacher.log_in(server.secret("teacher_password"))
        assert "ida" in teacher.ask("/hub/authorize")[1]
        teacher.ask("/hub/authorize/ida")
        assert "Invalid" in student.log_in("another one")[1]
        student.log_in()
        assert "ida" in student.ask("/hub/home")[1]


@needs_server
def test_a_student_is_no_teacher(ada):
    for page in ("/hub/authorize", "/hub/admin"):
        assert ada.ask(page)[0] == 403


@needs_server
def test_the_teacher_administers_and_does_not_enter_students_servers(server, ada):
    teacher = Student(server.address, "teacher")
    teacher.log_in(server.secret("teacher_password"))
    for page in ("admin", "authorize", "change-password", "change-password/ada"):
        assert teacher.ask(f"/hub/{page}")[0] == 200, page
    for place in ("lab", "api/contents"):
        assert teacher.ask(f"/user/ada/{place}")[0] == 403
    assert says(ada, "1 + 1") == "2"


# ---- what a student reaches


FOLDED = """
import json, glob
found = glob.glob("/srv/**/*.ipynb", recursive=True)
found += glob.glob("/home/student/*/**/*.ipynb", recursive=True)
assert len(found) > 20
print([p for p in found for c in json.load(open(p))["cells"] if "fold" in c["metadata"]])
"""


@needs_server
def test_a_student_has_the_assignment_and_the_lessons_without_solutions(ada):
    listed = says(ada, "import glob; print(sorted(glob.glob('*/*')), glob.glob('*/*/*'))")
    assert "lessons/03_quantize_tensor.ipynb" in listed
    assert "assignments/lesson00/00_run_article.ipynb" in listed
    assert says(ada, FOLDED) == "[]"


@needs_server
def test_a_release_arrives_while_students_work(server, ada):
    server.lessons("release", "3")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and "lesson03" not in says(ada, "!ls assignments"):
        time.sleep(1)
    assert "03_quantize_tensor.ipynb" in says(ada, "!ls assignments/lesson03")


@needs_server
def test_what_a_student_hands_in_is_what_he_saved(server, ada):
    path = "assignments/lesson00/00_run_article.ipynb"
    save(ada, path, "mine")
    server.lessons("collect", "0")
    handed = server.folder / "handed_in" / "ada" / "lesson00" / Path(path).name
    assert json.loads(handed.read_text("utf-8"))["metadata"]["mine"] is True


@needs_server
def test_a_link_in_a_students_folder_brings_him_nothing_of_the_teachers(server, ada):
    """It points into his sandbox where he makes it, and to the solutions where it is collected."""
    solved = server.folder / "source" / "lesson00"
    own = "assignments/lesson00"
    says(ada, f"!ln -sf {solved}/00_run_article.ipynb '{own}/my 00_run_article.ipynb'")
    says(ada, f"!ln -sfn {solved} {own}/more")
    assert (server.folder / "hub" / own.replace("/", "/ada/") / "more").resolve() == solved
    server.lessons("collect", "0")
    handed = server.folder / "handed_in" / "ada" / "lesson00" / "00_run_article.ipynb"
    assert json.loads(handed.read_text("utf-8"))["metadata"]["mine"] is True


def save(student, path, mark):
    content = json.loads(student.api(f"contents/{path}")[1])["content"]
    content["metadata"][mark] = True
    code = next(cell for cell in content["cells"] if cell["cell_type"] == "code")
    code["source"] += f"\n# {mark}"  # one that is as it was released is not handed in
    body = {"type": "notebook", "content": content}
    assert student.api(f"contents/{path}", body, "PUT")[0] == 200


@needs_server
def test_newer_lessons_reach_a_student_and_his_own_words_stay(server, ada):
    """At his next start: here nbgitpuller is called as it is then."""
    save(ada, "lessons/01_save_model.ipynb", "mine")
    lessons = server.folder / "hub" / "lessons"
    (lessons / "README.md").write_text("new")
    theirs = lessons / "01_save_model.ipynb"
    changed = json.loads(theirs.read_text("utf-8"))
    changed["metadata"]["mine"] = False
    theirs.write_text(json.dumps(changed, indent=1))
    git = ["git", "-C", str(lessons), "-c", "user.name=c", "-c", "user.email=c@localhost"]
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "more"], check=True)
    pull = "from nbgitpuller.pull import GitPuller\n"
    pull += "for line in GitPuller('/srv/lessons', 'lessons', branch='main', depth=0).pull(): pass"
    says(ada, pull)
    assert says(ada, "!cat lessons/README.md") == "new"
    both = json.loads(ada.api("contents/lessons/01_save_model.ipynb")[1])["content"]
    assert both["metadata"]["mine"] is True, "where both changed a line, his counts"


SECRETS = """
import os, pathlib
found = []
def look(path):
    try:
        path.read_bytes() if path.is_file() else list(path.iterdir())
        found.append(str(path))
    except OSError as error:
        pass
for path in PATHS:
    look(pathlib.Path(path))
print(found)
"""


@needs_server
def test_no_student_reads_anothers_files_the_teachers_or_the_hubs(server, ada, bob):
    says(bob, "open('secret.txt', 'w').write('mine')")
    folder = server.folder
    assert (folder / "hub" / "homes" / "bob" / "secret.txt").read_text() == "mine"
    paths = [folder, folder / "hub" / "homes" / "bob" / "secret.txt", folder / "hub" / "state"]
    paths += [folder / "source", folder / "gradebook.db", folder / "hub" / "assignments" / "bob"]
    paths += [files.ROOT / name for name in ("notebooks", "notebooks/solutions", "tests", ".git")]
    paths += ["/root", "/etc/shadow", "/home/bob", "/home/student/../bob", "/var"]
    paths += ["/run", "/sys", "/boot", "/opt", "/mnt"]
    code = SECRETS.replace("PATHS", repr(list(map(str, paths))))
    reached = says(ada, code)
    allowed = [p for p in ("/root", "/opt") if Path(sys.base_prefix).is_relative_to(p)]
    assert set(json.loads(reached.replace("'", '"'))) <= set(allowed)
    assert str(folder) not in says(ada, "print(dict(os.environ))")


@needs_server
def test_no_student_sees_anothers_processes_or_listens_to_his_kernel(ada, bob):
    says(bob, "import subprocess; p = subprocess.Popen(['sleep', '47.11'])")
    assert "47.11" in says(bob, "!cat /proc/*/cmdline | tr '\\0' ' '")
    assert "47.11" not in says(ada, "!cat /proc/*/cmdline | tr '\\0' ' '")
    connection = says(
        ada, "from ipykernel import get_connection_info; print(get_connection_info())"
    )
    assert '"transport": "ipc"' in connection


STREAMS = """
import glob, os
print({os.readlink(f) for f in glob.glob('/proc/[0-9]*/fd/[012]')})
print(open(os.readlink('/proc/1/fd/2'), 'w'))
"""


@needs_server
def test_no_student_reaches_the_teachers_terminal(server, ada):
    """His processes have the streams of none but himself: what they say is a log of the hub's."""
    open_at = says(ada, STREAMS)
    own = server.folder / "hub" / "logs" / "ada.log"
    assert str(own) in open_at and str(server.folder.with_suffix(".log")) not in open_at
    assert "/dev/" not in open_at and "No such file" in open_at
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    says(ada, "import os; print(os.write(os.open('/proc/1/fd/2', os.O_WRONLY), b'x' * 2**21))")
    time.sleep(3)
    assert own.stat().st_size < 2**20


@needs_server
def test_no_student_enters_anothers_server(ada, bob):
    ada.ask("/user/bob/lab")
    assert "/user/bob/lab" not in ada.at
    port = says(bob, "import os; print(os.environ['JUPYTERHUB_SERVICE_URL'])")
    code = (
        "import urllib.request, urllib.error, os\n"
        "h = {'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}\n"
        f"r = urllib.request.Request('{port}api/contents', headers=h)\n"
        "try: print(urllib.request.urlopen(r).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    assert says(ada, code) == "403"
    assert says(bob, code) == "200"


@needs_server
@pytest.mark.parametrize(
    "place",
    [sys.prefix, str(files.ROOT / "lessons_lib"), str(files.ROOT / "data"), "/srv/release",
     "/srv/lessons", "/home/student/feedback", "/usr", str(HUB / "student"), "", "/dev"],
)  # fmt: skip
def test_what_is_shared_is_read_only(ada, place):
    assert "Read-only file system" in says(ada, f"open({place + '/probe'!r}, 'w')")


@needs_server
def test_lessons_run_with_what_they_need(ada):
    """The data, the library, a folder for artifacts; and one thread a student."""
    code = "from lessons_lib import data, files; print(len(data.load().test), files.artifacts('x'))"
    assert says(ada, code).endswith("/home/student/artifacts/x")
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    assert says(ada, f"import os; print([os.environ[n] for n in {names}])") == "['1', '1', '1']"


# ---- what a mistake costs


@needs_server
def test_a_kernel_that_takes_too_much_memory_ends_and_nothing_else(bob):
    """At once, where one asks for all; after a look, where it grows."""
    assert "MemoryError" in says(bob, "held = b'1' * 2**34")
    assert says(bob, "1 + 1") == "2"
    ended = says(bob, "held = []\nwhile True: held.append(b'1' * 2**24)")
    assert ended.startswith(("kernel died", "MemoryError"))
    bob.k = bob.kernel()
    assert says(bob, "1 + 1") == "2"


@needs_server
def test_who_forks_without_end_loses_his_server_alone(server, ada):
    cy = come(server, "cy")
    says(cy, "import subprocess\nheld = [subprocess.Popen(['sleep', '99']) for _ in range(200)]")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and sleepers():
        time.sleep(0.5)
    assert sleepers() == 0
    assert says(ada, "1 + 1") == "2"


def sleepers():
    done = subprocess.run(["pgrep", "-c", "-x", "-f", "sleep 99"], capture_output=True, text=True)
    return int(done.stdout)


# ---- what is refused before anything is started


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return made_course(tmp_path_factory.mktemp("refused") / "class").folder


@pytest.fixture
def refused(monkeypatch):
    """Returns why it is not started; ``only``: a PATH with these programs alone."""
    monkeypatch.syspath_prepend(str(HUB))

    def ask(folder, *words, only=None):
        import start

        if only is not None:
            monkeypatch.setenv("PATH", str(only))
        with pytest.raises(SystemExit) as end:
            start.main(["--class", str(folder), *words])
        return str(end.value)

    return ask


@needs_server
def test_no_course(tmp_path):
    """As `make hub` calls it: one message, exit status 1."""
    command = [sys.executable, str(HUB / "start.py"), "--class", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "holds no course. Make one with" in done.stderr
    assert f"make class CLASS={tmp_path}" in done.stderr


@needs_server
def test_a_port_in_use(course, refused):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        for first in (port, port - 1, port - 2):
            said = refused(course, "--port", str(first))
            assert f"port {port} of 127.0.0.1 cannot be had: Address already in use" in said
    assert "expected 1 to 65533" in refused(course, "--port", "99999")


@needs_server
@pytest.mark.parametrize(
    "host", ["999.1.1.1", "192.0.2.1", "2001:db8::1", "nobody.invalid", ".", "x" * 70]
)
def test_an_address_that_is_not_of_this_machine(course, refused, host):
    """It is no port that another hub holds: another port would not help."""
    said = refused(course, "--host", host, "--port", str(free_port()))
    assert f"--host {host} is no address of this machine: " in said
    assert "127.0.0.1" in said and "0.0.0.0" in said and "still runs" not in said


@needs_server
@pytest.mark.parametrize(
    "given", ["banana", "2GB", "=-1G", "-1G", "0", "2", "", "nanG", "infG", "384M", "400000K"]
)
def test_memory_in_which_no_student_could_begin(course, refused, given):
    said = refused(course, f"--memory={given}", "--port", str(free_port()))
    assert f"--memory {given}: expected a number with M or G behind it, 512M or more" in said
    assert 'make hub HUB="--memory 2G"' in said


@needs_server
def test_memory_that_jupyterhub_takes(monkeypatch):
    monkeypatch.syspath_prepend(str(HUB))
    import start

    for given in ("512M", "1536M", "2G", "1.5G", "0.001T"):
        start.look_at_memory(given)


@needs_server
@pytest.mark.parametrize("given", ["0", "-3", "soon", "1.5", ""])
def test_minutes_that_are_no_number_above_0(course, refused, given):
    said = refused(course, f"--idle-minutes={given}", "--port", str(free_port()))
    assert f"--idle-minutes {given}: expected a whole number above 0" in said
    assert 'make hub HUB="--idle-minutes 60"' in said


@needs_server
@pytest.mark.parametrize("until", ["hub", "hub/lessons/.git", "hub/warm", "the address"])
def test_ctrl_c_before_the_hub_runs(tmp_path, until):
    """While it looks, commits the lessons, decodes the digits, and while JupyterHub loads."""
    folder = made_course(tmp_path / "class").folder
    command = [sys.executable, str(HUB / "start.py"), "--class", str(folder)]
    with subprocess.Popen(
        [*command, "--port", str(free_port())], stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=own_environment(),
    ) as process:  # fmt: skip
        if until == "the address":
            assert process.stdout.readline().startswith("The class's server: http://")
        while until != "the address" and process.poll() is None and not (folder / until).exists():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert until == "the address" or out == ""
    assert [path for path in folder.rglob(".*") if path.suffix in (".new", ".tmp")] == []
    if (folder / "hub" / "lessons").exists():
        state = ["git", "-C", str(folder / "hub" / "lessons"), "status", "--porcelain"]
        assert subprocess.run(state, check=True, capture_output=True).stdout == b""


@needs_server
@pytest.mark.parametrize(
    ("program", "cure"),
    [("bwrap", "apt-get install bubblewrap"), ("git", "install git"), ("node", "install nodejs")],
)
def test_a_program_that_is_missing(course, refused, tmp_path, program, cure):
    """And without bubblewrap, what it would mean to do without it."""
    for name in {"bwrap", "git", "node"} - {program}:
        (tmp_path / name).symlink_to(shutil.which(name))
    said = refused(course, "--port", str(free_port()), only=tmp_path)
    assert program.replace("bwrap", "bubblewrap") + " is not installed" in said
    assert cure in said
    assert ("every student can read the others' files" in said) == (program == "bwrap")


@needs_server
def test_a_machine_that_allows_no_sandbox(course, refused, tmp_path):
    """A bubblewrap that may not do what it is asked to, as in many containers."""
    for name in ("git", "node"):
        (tmp_path / name).symlink_to(shutil.which(name))
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create' >&2; exit 1")
    (tmp_path / "bwrap").chmod(0o755)
    said = refused(course, "--port", str(free_port()), only=tmp_path)
    assert "bubblewrap cannot work: bwrap: No permissions to create" in said
    assert "HUB=--without-isolation" in said


@needs_server
@pytest.mark.skipif(os.getuid() != 0, reason="only root is refused")
def test_root_without_isolation(course, refused):
    said = refused(course, "--port", str(free_port()), "--without-isolation")
    assert "as root" in said and "start it as another user" in said


def test_without_npm_make_says_so(tmp_path):
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(files.ROOT / name, tmp_path)
    shutil.copytree(HUB, tmp_path / "deploy" / "hub", ignore=shutil.ignore_patterns("node_modules"))
    target = "deploy/hub/node_modules/.package-lock.json"
    done = subprocess.run(
        [shutil.which("make"), target], cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode != 0
    assert "npm is needed, which comes with Node.js 18 or newer" in done.stderr


@needs_server
def test_what_is_printed_at_the_start(course, monkeypatch):
    """An address that a browser takes, and what memory to plan where nothing is shared."""
    monkeypatch.syspath_prepend(str(HUB))
    import start

    words = ["--class", str(course), "--host", "::1", "--port", "8300"]
    chosen = start.parser().parse_args(words)
    chosen.alone = "Linux 6.1 is older than 6.5"
    said = start.welcome(chosen)
    assert "http://[::1]:8300/hub/authorize" in said
    assert "share nothing (Linux 6.1 is older than 6.5): plan 0.6 GB a student" in said
    assert ("as root" in said) == (os.getuid() == 0)
    chosen.alone = start.alone()
    assert chosen.alone or "share nothing" not in start.welcome(chosen)


# ---- the secrets


@needs_server
def test_secrets_are_drawn_for_each_class_and_for_its_teacher_alone(server, course, monkeypatch):
    monkeypatch.syspath_prepend(str(HUB))
    state = server.folder / "hub" / "state"
    made = [path for path in state.iterdir() if path.is_file() and path.suffix != ".pid"]
    names = {"cookie_secret", "teacher_password", "class_code", "hub.sqlite"}
    assert names <= {path.name for path in made}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    assert stat.S_IMODE((server.folder / "hub").stat().st_mode) == 0o700
    import start

    start.look_at_folder(course)
    start.make_state(course)
    names.remove("hub.sqlite")
    drawn = {name: (course / "hub" / "state" / name).read_text() for name in names}
    start.make_state(course)
    for name in names:
        assert drawn[name] != (state / name).read_text()
        assert drawn[name] == (course / "hub" / "state" / name).read_text()


@needs_server
def test_no_hub_with_an_empty_secret(course, monkeypatch):
    """Whoever typed nothing would know the class's code."""
    monkeypatch.syspath_prepend(str(HUB))
    import start

    empty = course / "hub" / "state" / "class_code"
    start.look_at_folder(course)
    start.make_state(course)
    empty.write_text("\n")
    with pytest.raises(start.Refusal, match="class_code is empty"):
        start.make_state(course)
    empty.unlink()
    start.make_state(course)
    assert len(empty.read_text()) == 8


def test_no_secret_is_in_the_repository():
    ignored = ["class/hub/state/cookie_secret", "deploy/hub/node_modules/x"]
    done = subprocess.run(["git", "check-ignore", *ignored], cwd=files.ROOT, capture_output=True)
    assert done.stdout.decode().split() == ignored


# ---- beyond one machine


@needs_server
def test_kubernetes_gets_the_same_settings(course, monkeypatch):
    monkeypatch.syspath_prepend(str(HUB))
    import start

    start.look_at_folder(course)
    start.make_state(course)
    chosen = start.parser().parse_args([])
    for name in ("host", "port", "memory", "admit", "idle_minutes"):
        monkeypatch.setenv(f"LESSONS_HUB_{name.upper()}", str(getattr(chosen, name)))
    monkeypatch.setenv("LESSONS_HUB_FOLDER", str(course))
    monkeypatch.setenv("LESSONS_HUB_ISOLATED", "yes")
    monkeypatch.setenv("LESSONS_HUB_SHARED", "yes")
    c = Config()
    source = (HUB / "jupyterhub_config.py").read_text("utf-8")
    exec(source, {"get_config": lambda: c, "__file__": str(HUB / "jupyterhub_config.py")})
    asked = c.ClassAuthenticator
    values = yaml.safe_load((HUB / "kubernetes" / "values.yaml").read_text("utf-8"))
    assert re.match(asked.username_pattern, "bob") and not re.match(asked.username_pattern, "bob\n")
    student, hub = values["singleuser"], values["hub"]["config"]
    assert student["extraEnv"] == c.Spawner.environment
    assert student["memory"]["limit"] == c.Spawner.mem_limit
    assert student["defaultUrl"] == c.Spawner.default_url
    assert values["cull"]["timeout"] == 60 * chosen.idle_minutes
    for name, value in {**hub["Authenticator"], **hub["NativeAuthenticator"]}.items():
        own = {"open_signup": chosen.admit == "code", "admin_users": {"teacher"}}
        ours = own.get(name, asked.get(name))
        assert (set(value) if isinstance(value, list) else value) == ours, name


def test_the_image_is_told_what_a_sandbox_is_told():
    told = (HUB / "kubernetes" / "Dockerfile").read_text("utf-8")
    said = (HUB / "student_spawner.py").read_text("utf-8")
    for name, place in {"RELEASED": "/srv/release", "LESSONS": "/srv/lessons"}.items():
        assert f"LESSONS_HUB_{name}={place}" in told
        assert f'"LESSONS_HUB_{name}"] = "{place}"' in said
    assert "/home/student" in told and 'HOME = "/home/student"' in said
    asked = (HUB / "student" / "jupyter_server_config.py").read_text("utf-8")
    for name in re.findall(r'environ\["(\w+)"\]', asked):
        assert f"{name}=" in told, name
