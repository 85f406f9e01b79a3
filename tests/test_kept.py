"""What tests keep is made once, and again when anything that it is made from has changed."""

import pytest

import kept


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    return tmp_path


def test_it_is_made_once():
    made = []
    for _ in range(2):
        assert kept.kept("thing", lambda: made.append(1) or {"a": b"b"}) == {"a": b"b"}
    assert made == [1]


def test_after_a_change_it_is_made_anew_and_the_old_one_goes(folder, monkeypatch):
    kept.kept("thing", lambda: "old")
    kept.kept("other", lambda: "other")
    monkeypatch.setattr(kept, "digest", lambda: "changed")
    assert kept.kept("thing", lambda: "new") == "new"
    names = sorted(path.name for path in folder.glob("*.pickle"))
    assert [name.partition("-")[0] for name in names] == ["other", "thing"]
    assert "thing-changed.pickle" in names


def test_what_fails_is_not_kept(folder):
    with pytest.raises(ZeroDivisionError):
        kept.kept("thing", lambda: 1 / 0)
    assert list(folder.glob("*.pickle")) == []


@pytest.mark.parametrize("place", ["lessons_lib/new.py", "data/models/new.npz"])
def test_the_digest_sees_a_new_file(place, tmp_path, monkeypatch):
    for name in kept.MAKERS:
        (tmp_path / "tests").mkdir(exist_ok=True)
        (tmp_path / "tests" / name).touch()
    monkeypatch.setattr(kept.files, "ROOT", tmp_path)
    before = kept.digest.__wrapped__()
    assert kept.digest.__wrapped__() == before
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()
    assert kept.digest.__wrapped__() != before
