"""Picture features: encoded once, kept in bounded memory and on disk, never stale or half."""

import threading

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.models.features import FeatureCache


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def files(home):
    return sorted(path for path in (home / "features").rglob("*") if path.is_file())


def same(rows, others):
    return all(torch.equal(a["tokens"], b["tokens"]) for a, b in zip(rows, others, strict=True))


def test_another_process_reads_what_one_has_encoded(model, pictures, home):
    first = FeatureCache(model, 10, on_disk=True)
    asked = [*pictures, pictures[0]]
    rows = first(asked)
    assert first.encoded == 5
    assert len(files(home)) == 5
    assert same(rows, model.features(asked))
    second = FeatureCache(model, 10, on_disk=True)
    assert same(second(asked), rows)
    assert second.encoded == 0


def test_changed_pictures_and_changed_weights_are_encoded_anew(model, pictures):
    FeatureCache(model, 10, on_disk=True).encode(pictures)
    Image.new("RGB", (64, 64), (1, 2, 3)).save(pictures[0])
    after = FeatureCache(model, 10, on_disk=True)
    assert same(after(pictures), model.features(pictures))
    assert after.encoded == 1
    model.fingerprint = "0" * 16
    other = FeatureCache(model, 10, on_disk=True)
    other.encode(pictures)
    assert other.encoded == 5


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_process_that_outlives_its_pictures_forgets_them_when_told(model, pictures, on_disk):
    cache = FeatureCache(model, 10, on_disk=on_disk)
    cache.encode(pictures)
    Image.new("RGB", (64, 64), (1, 2, 3)).save(pictures[0])
    assert not same(cache(pictures), model.features(pictures))
    cache.forget()
    assert same(cache(pictures), model.features(pictures))


def test_memory_is_bounded_and_nothing_is_lost(model, pictures):
    one = 16 * 32 * 4  # bytes of a picture's tokens
    cache = FeatureCache(model, 2 * one / 1e6, on_disk=True)
    expected = model.features(pictures)
    for _ in range(3):
        assert same(cache(pictures), expected)
        assert cache._bytes <= 2 * one
    assert cache.encoded == 5


def test_without_disk_nothing_is_written(model, pictures, home):
    FeatureCache(model, 10, on_disk=False).encode(pictures)
    model.keep_features = False
    FeatureCache(model, 10, on_disk=True).encode(pictures)
    assert not (home / "features").exists()


def test_a_damaged_file_is_told_and_made_again(model, pictures, home, caplog):
    FeatureCache(model, 10, on_disk=True).encode(pictures)
    broken = files(home)[2]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    cache = FeatureCache(model, 10, on_disk=True)
    assert same(cache(pictures), model.features(pictures))
    assert cache.encoded == 1
    assert str(broken) in caplog.text
    assert broken.read_bytes() == whole


def test_changed_numbers_are_told_and_made_again(model, pictures, home, caplog):
    """A file of zeros that reads well is no picture's encoding."""
    FeatureCache(model, 10, on_disk=True).encode(pictures)
    for path in files(home):
        save_file({name: value * 0 for name, value in load_file(path).items()}, path)
    cache = FeatureCache(model, 10, on_disk=True)
    assert same(cache(pictures), model.features(pictures))
    assert cache.encoded == 5
    assert "have changed since" in caplog.text


def test_many_may_encode_the_same_pictures_at_once(model, pictures, home):
    caches = [FeatureCache(model, 10, on_disk=True) for _ in range(4)]
    results = {}
    threads = [
        threading.Thread(target=lambda i=i: results.update({i: caches[i](pictures)}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(results[i], model.features(pictures)) for i in range(4))
    assert len(files(home)) == 5
    assert same(FeatureCache(model, 10, on_disk=True)(pictures), results[0])


def test_a_missing_picture_is_named(model, tmp_path):
    with pytest.raises(DataError, match=r"gone\.png"):
        FeatureCache(model, 10, on_disk=True).encode([tmp_path / "gone.png"])


@pytest.mark.parametrize("room", [2, 3, 10])
def test_groups_in_a_row_encode_each_picture_once_wherever_memory_allows(model, pictures, room):
    """Of five pictures two to ten fit, and none is asked for after others have its place."""
    size = sum(value.nbytes for value in model.features(pictures[:1])[0].values())
    cache = FeatureCache(model, room * size / 1e6, on_disk=False)
    a, b, c, d, e = pictures
    groups = [[a, b], [b, a], [b, c], [c, d], [d, e], []]
    for group, rows in zip(groups, cache.ahead(groups), strict=True):
        assert same(rows, model.features(group))
    assert cache.encoded == 5


def test_a_group_that_is_larger_than_memory_is_encoded_once(model, pictures):
    cache = FeatureCache(model, 1e-6, on_disk=False)
    (rows,) = cache.ahead([pictures])
    assert same(rows, model.features(pictures))
    assert cache.encoded == 5


def test_the_frozen_part_is_never_in_training(model, pictures, monkeypatch):
    modes, real = [], type(model).features
    cache = FeatureCache(model, 10, on_disk=False)
    model.module.train()
    modules = list(model.module.modules())
    monkeypatch.setattr(
        model,
        "features",
        lambda images: modes.append(any(m.training for m in modules)) or real(model, images),
    )
    cache(pictures)
    assert modes == [False]
    assert all(m.training for m in modules)
    model.module.eval()
