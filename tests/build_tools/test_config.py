"""Every setting is documented, and the documentation is what --help prints."""

from __future__ import annotations

import pytest

from build_tools.config import BuildConfig, BuildType, Linkage, field_docs, settings


def test_every_setting_has_its_manual():
    docs = field_docs()
    assert list(docs) == [entry.name for entry in settings()]
    assert all(len(text) > 20 and text.endswith(".") for text in docs.values())


def test_the_text_belongs_to_the_field_above_it():
    assert "Compile jobs" in field_docs()["jobs"]
    assert "\n" not in field_docs()["compiler"]


def test_the_defaults_are_the_documented_ones():
    config = BuildConfig()
    assert config.protobuf is Linkage.STATIC
    assert config.build_type is BuildType.RELEASE
    assert (config.onnx_version, config.protobuf_version, config.use_shared_env) == (
        "1.23.2",
        None,
        None,
    )
    assert (config.repair, config.smoke, config.lto, config.offline) == (True, True, False, False)
    assert config.cache_dir.name == "onnxforge"


def test_settings_cannot_be_changed_on_the_way():
    with pytest.raises(AttributeError):
        BuildConfig().jobs = 3  # type: ignore[misc]
