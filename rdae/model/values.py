"""The values between a model's layers, and which of them must have one unit."""

from __future__ import annotations

from rdae.model.spec import NUM_PASSES, ModelSpec
from rdae.network_spec import Layers


class ValueFlow:
    """What every layer of a model reads, and which values must have one unit.

    Those must that are added. A value is called by the path of what gives it; "pixels", "z_hat",
    "y_hat" and "features + y_hat" are given by none.

    Attributes:
        inputs: what each layer with parameters reads: the path of what gives it.
        features: what the hyper-synthesis gives.
        y: what the analysis gives.
        z: what the hyper-analysis gives.
        y_is_by_channel: y may have a unit for each channel: only linear layers read it.
        y_is_read_by_channel: only linear layers read y_hat, which take a unit for each channel.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.inputs: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        readers = [spec.synthesis, *spec.inputs]
        self.y_is_read_by_channel = all(_is_linear_at_first(layers) for layers in readers)
        self.features = self._follow(spec.hyper_synthesis, "hyper_synthesis", "z_hat")
        self._follow(spec.first, "first", self.features)
        seen = "features + y_hat"
        if not self.y_is_read_by_channel:
            self._join(self.features, "y_hat")
            seen = "y_hat"
        ends = [self._follow(spec.inputs[k], f"inputs.{k}", seen) for k in range(NUM_PASSES - 1)]
        for end in ends[1:]:
            self._join(end, ends[0])
        shared = self._follow(spec.shared, "shared", ends[0])
        for k in range(NUM_PASSES - 1):
            self._follow(spec.outputs[k], f"outputs.{k}", shared)
        self._follow(spec.synthesis, "synthesis", "y_hat")
        self.y = self._follow(spec.analysis, "analysis", "pixels")
        inside = {self.group(value) for value in self.inputs.values()}
        self.y_is_by_channel = self.group(self.y) not in inside and _is_linear_at_first(
            spec.hyper_analysis
        )
        self.z = self._follow(spec.hyper_analysis, "hyper_analysis", self.y)

    def has_unit_of_its_own(self, value: str) -> bool:
        """Whether its unit is neither that of pixels nor that of y."""
        return self.group(value) not in (self.group("pixels"), self.group(self.y))

    def group(self, value: str) -> str:
        """The value that stands for all that have the unit of this one."""
        while value in self._parents:
            value = self._parents[value]
        return value

    def _join(self, value: str, other: str) -> None:
        value, other = self.group(value), self.group(other)
        if value != other:
            self._parents[value] = other

    def _follow(self, layers: Layers, path: str, value: str) -> str:
        """The value that layers give for a value."""
        for i, layer in enumerate(layers):
            here = f"{path}.{i}"
            if layer[0] == "residual":
                self._join(self._follow(layer[1], here, value), value)
                self._join(here, value)
            elif layer[0] == "sum":
                first = self._follow(layer[1], f"{here}.0", value)
                self._join(self._follow(layer[2], f"{here}.1", value), first)
                self._join(here, first)
                value = first
            elif layer[0] in ("linear", "depthwise", "gain"):
                self.inputs[here] = value
                value = here
        return value


def _is_linear_at_first(layers: Layers) -> bool:
    match layers[:1]:
        case [["linear", *_]]:
            return True
        case [["sum", first, second]]:
            return _is_linear_at_first(first) and _is_linear_at_first(second)
    return False
