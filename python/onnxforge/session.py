"""Compiled models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from .images import image_decoder
from .model import ModelSource, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .description import ValueInfo
    from .profile import Profile


class Session:
    """A model compiled to run, any number of times and from several threads at once.

    Args:
        model: loaded, or anything `load` takes.
        threads: how many threads one run may use, the calling one included; None: one per core
            this process may use.
        tier: which kernels: "auto", "reference" (slow and obviously right), or a SIMD target out
            of `build_info().tiers`.
        optimize: rewrite the graph before it is compiled.
        disable_passes: names of rewrites to leave out, out of `build_info().passes`.

    Raises:
        InvalidModelError: when the model breaks the standard.
        UnsupportedError: when an operator has neither kernel nor function body, naming it.
        InvalidArgumentError: for an unknown tier or pass, or a negative number of threads.
    """

    __slots__ = ("_core", "_described", "_output_names")

    def __init__(
        self,
        model: ModelSource,
        *,
        threads: int | None = None,
        tier: str = "auto",
        optimize: bool = True,
        disable_passes: Sequence[str] = (),
    ) -> None:
        passes = _names("disable_passes", disable_passes)
        self._core = _core.Session(
            load(model)._core, threads or 0, tier, optimize, passes, image_decoder()
        )
        self._output_names = [output["name"] for output in self._core.outputs()]
        self._described: dict[str, tuple[ValueInfo, ...]] = {}

    @property
    def inputs(self) -> tuple[ValueInfo, ...]:
        """What `run` must be given."""
        return self._describe("inputs")

    @property
    def overridable_inputs(self) -> tuple[ValueInfo, ...]:
        """Inputs with a default, which `run` may be given."""
        return self._describe("overridable_inputs")

    @property
    def outputs(self) -> tuple[ValueInfo, ...]:
        """What `run` returns."""
        return self._describe("outputs")

    @property
    def threads(self) -> int:
        """How many threads one run uses, the calling one included."""
        return self._core.threads

    @property
    def tier(self) -> str:
        """The kernels in use."""
        return self._core.tier

    def run(
        self, inputs: Mapping[str, Any], outputs: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Run the model once.

        Args:
            inputs: by name. A tensor is a NumPy array of exactly the dtype and rank the model
                declares (see `inputs`), and of its extents where they are numbers; it is read in
                place when it is C-contiguous, aligned and of native byte order, and copied
                otherwise. So is the memory of an object with `__dlpack__`, a tensor of another
                library. Numbers and lists of numbers take the declared dtype. bfloat16, float8,
                int4 and the like are arrays of the package ml_dtypes; strings are arrays of str,
                bytes or StringDType. Sequences are lists, maps dicts, empty optionals None, sparse
                tensors tuples (values, indices, shape).
            outputs: the names of those wanted, in any order; None: all.

        Returns:
            The outputs by name, in the order asked for. Arrays own their memory; no later run
            changes them. Strings come as arrays of str objects.

        Raises:
            InvalidArgumentError: for a missing, unknown or wrong input or an unknown output, naming
                what was expected and what came.
            Error: when a node fails, naming the node. Ctrl-C ends a run between two nodes.
        """
        wanted = self._names(outputs)
        values, _ = self._core.run(dict(inputs), wanted, False)
        return dict(zip(wanted, values, strict=True))

    def profile(self, inputs: Mapping[str, Any], *, warmup: int = 2) -> Profile:
        """Run the model once and say what each node cost.

        Args:
            inputs: as for `run`.
            warmup: runs before that one. The first run of new input shapes observes how much memory
                is needed for how long, the second lays it out; from then on runs are alike.
        """
        for _ in range(warmup):
            self.run(inputs)
        _, raw = self._core.run(dict(inputs), self._names(None), True)
        assert raw is not None
        from .profile import Profile  # noqa: PLC0415 - most processes never profile

        return Profile.from_engine(raw)

    def _names(self, outputs: Sequence[str] | None) -> list[str]:
        if outputs is None:
            return self._output_names
        return _names("outputs", outputs)

    def _describe(self, side: str) -> tuple[ValueInfo, ...]:
        if side not in self._described:
            from .description import value_info  # noqa: PLC0415 - most processes never ask

            self._described[side] = tuple(map(value_info, getattr(self._core, side)()))
        return self._described[side]

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        outputs = ", ".join(map(str, self.outputs))
        return f"<onnxforge.Session ({inputs}) -> ({outputs}), {self.tier}, {self.threads} threads>"


def _names(argument: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        msg = f"{argument} is a list of names, not one name: write [{names!r}]"
        raise _core.InvalidArgumentError(msg)
    return list(names)
