"""Links into the course's repository, for Colab and Binder: there are some where it is known.

``LESSONS_REPOSITORY`` gives its address, ``LESSONS_BRANCH`` the branch, and ``LESSONS_SITE`` the
address under which the site is read, where that is not GitHub's own for the repository.
"""

import os
import re

from lessons_lib.errors import InputError


def repository() -> str:
    """Return the address in ``LESSONS_REPOSITORY``, or nothing.

    Raises InputError for one that is not on GitHub: Colab opens notebooks from there only.
    """
    address = os.environ.get("LESSONS_REPOSITORY", "").rstrip("/")
    if address and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise InputError(
            f"LESSONS_REPOSITORY={address!r}; expected an address such as "
            "https://github.com/owner/name, or nothing"
        )
    return address


def branch() -> str:
    """Return the branch in ``LESSONS_BRANCH``, else ``main``.

    Raises InputError for a name with other signs than letters, digits and ``. _ - /``: a page
    shows it in a shell command.
    """
    name = os.environ.get("LESSONS_BRANCH") or "main"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/-]*", name):
        raise InputError(f"LESSONS_BRANCH={name!r}; expected a name such as main or release/1.0")
    return name


def site() -> str:
    """Return the site's address, with a slash at its end, or nothing where it is not known.

    It is ``LESSONS_SITE``, else where GitHub Pages shows the repository.
    Raises InputError for one that is not an https address without a query.
    """
    address = os.environ.get("LESSONS_SITE", "")
    if not address and repository():
        owner, name = repository().split("/")[-2:]
        own = name.lower() == f"{owner.lower()}.github.io"
        address = f"https://{owner.lower()}.github.io/" + ("" if own else f"{name}/")
    if address and not re.fullmatch(r"https://[\w.-]+(:\d+)?(/[\w.~-]+)*/?", address):
        raise InputError(
            f"LESSONS_SITE={address!r}; expected an address such as https://example.org/lessons/, "
            "or nothing"
        )
    return f"{address.rstrip('/')}/" if address else ""


def links() -> dict:
    """Return the theme's options for links into the repository; none without an address."""
    if not repository():
        return {}
    return {
        "repository_url": repository(),
        "repository_branch": branch(),
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


def recipe() -> str:
    """How to run a lesson in Colab or Binder, where the site has links to them."""
    if not repository():
        return ""
    return f"""## In Colab or Binder

Each lesson's page has a button that opens it there. Binder sets itself up from the course's
`environment.yml`, which takes some minutes. Colab does not know the course's helpers: run this in a
first cell of your own; what you make then lies in `lessons/artifacts`. (Neither is part of the
course's tests.)

```
!git clone --depth 1 --branch {branch()} {repository()} lessons
%pip install --quiet --editable ./lessons[lab]
%cd lessons/notebooks
import sys; sys.path.insert(0, "..")  # the kernel that runs already does not see the install
```
"""
