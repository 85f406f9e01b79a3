"""A class on one machine. `make hub` starts it; README.md beside this file explains.

What a teacher may want to change stands first. Each can be set for one start as well, as in
`make hub HUB="--port 8080 --memory 2G"`: see `make hub HUB=--help`.
"""

import os
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import admission  # noqa: E402
import student_spawner  # noqa: E402

c = get_config()  # noqa: F821 - JupyterHub gives it
chosen = {name: os.environ[f"LESSONS_HUB_{name}"] for name in (
    "FOLDER", "HOST", "PORT", "MEMORY", "ADMIT", "ISOLATED", "SHARED", "IDLE_MINUTES"
)}  # fmt: skip
FOLDER = Path(chosen["FOLDER"])  # of the course, as `lessons class init` made it
PORT = int(chosen["PORT"])  # the next two are used as well, on this machine alone

# ---- who may come
c.JupyterHub.authenticator_class = admission.ClassAuthenticator
c.ClassAuthenticator.folder = str(FOLDER)
c.ClassAuthenticator.admit = chosen["ADMIT"]  # "teacher": you admit each; "code": who knows it
c.ClassAuthenticator.allow_all = True  # who signed up and was admitted
c.ClassAuthenticator.username_pattern = r"^[a-z0-9]([a-z0-9_.-]{0,30}[a-z0-9])?\Z"
c.ClassAuthenticator.minimum_password_length = 8
c.ClassAuthenticator.allowed_failed_logins = 5
c.ClassAuthenticator.seconds_before_next_try = 60
c.JupyterHub.template_paths = [str(HERE / "templates")]
c.JupyterHub.template_vars = {"ask_class_code": chosen["ADMIT"] == "code"}

# ---- what a student gets: one process, and his home in a sandbox
c.JupyterHub.spawner_class = student_spawner.StudentSpawner
c.StudentSpawner.folder = str(FOLDER)
c.StudentSpawner.isolated = chosen["ISOLATED"] == "yes"
c.Spawner.mem_limit = chosen["MEMORY"]  # of all his kernels; a lesson that trains takes 0.8 GB
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = c.Spawner.http_timeout = 120  # thirty at once on two cores are slow
THREADS = {
    # One thread a student: thirty who each want all cores only get into each other's way.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
    "MALLOC_ARENA_MAX": "2",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
c.Spawner.environment = THREADS
c.JupyterHub.concurrent_spawn_limit = 0  # else who comes late gets an error, 429, and no server

# ---- what students share: TensorFlow, imported once. Started without the hub's secrets: forks
# of it are students' processes. See student/warm_python.py
WARM = ["env", "-i", *(f"{name}={text}" for name, text in THREADS.items())]
WARM += [f"HOME={FOLDER / 'hub' / 'state'}", f"PYTHONPATH={HERE.parents[1]}", sys.executable]
WARM += [str(student_spawner.WARM), "serve", str(FOLDER / "hub" / "warm" / "socket")]
WARM += [str(FOLDER / "hub" / "state" / "warm_python.log")]

# ---- what ends with the hub, however that ends: else the next one finds its port taken
WITH_HUB = f"import ctypes, os, sys; ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)})\n"
WITH_HUB += "os.execvp(sys.argv[1], sys.argv[1:])"  # which keeps that: PR_SET_PDEATHSIG
WITH_HUB = [sys.executable, "-I", "-S", "-c", WITH_HUB]
c.ConfigurableHTTPProxy.command = [*WITH_HUB, "configurable-http-proxy"]

# ---- who left gives his memory back
c.JupyterHub.services = [{
    "name": "idle-culler",
    "command": [*WITH_HUB, sys.executable, "-m", "jupyterhub_idle_culler",
                f"--timeout={60 * int(chosen['IDLE_MINUTES'])}"],
}]  # fmt: skip
if chosen["SHARED"] == "yes":
    c.JupyterHub.services.append({"name": "warm-python", "command": WARM})
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "services": ["idle-culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    },
    # The teacher admits, removes and gives new passwords, and ends servers. JupyterHub's admins
    # could enter them as well; there are none.
    {
        "name": "teacher",
        "users": [student_spawner.TEACHER],
        "scopes": ["admin-ui", "admin:users", "list:users", "read:servers", "delete:servers"],
    },
    {"name": "admin", "users": []},
]

# ---- where it listens, and what it keeps; `make hub` made the folder for you alone to read
STATE = FOLDER / "hub" / "state"
HOST = f"[{chosen['HOST']}]" if ":" in chosen["HOST"] else chosen["HOST"]  # version 6
c.JupyterHub.bind_url = f"http://{HOST}:{PORT}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{PORT + 1}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PORT + 2}"
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{STATE / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.JupyterHub.cleanup_servers = True  # students' servers end with the hub; their files stay
# Services and students end in seconds: the culler listens to no polite signal.
c.LocalProcessSpawner.interrupt_timeout = c.LocalProcessSpawner.term_timeout = 2
