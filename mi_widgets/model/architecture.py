"""What a model is made of: which module is which part, and which sites that gives. Plain data.

`discovery.py` finds the parts, `proof.py` tests them before anything is offered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SITES = (
    "embed", "resid_pre", "q", "k", "v", "scores", "pattern", "z", "result", "attn_out", "resid_mid",
    "mlp_pre", "mlp_post", "mlp_out", "resid_post", "final_norm", "logits",
)  # fmt: skip
"""Every site kind, in the order of the computation."""

GLOBAL_SITES = frozenset({"embed", "final_norm", "logits"})
"""Sites that belong to no layer."""

HEAD_SITES = {"q": "n_heads", "k": "n_kv_heads", "v": "n_kv_heads", "z": "n_heads", "result": "n_heads",
              "scores": "n_heads", "pattern": "n_heads"}  # fmt: skip
"""Sites with a head axis, and how many heads it has."""


def text_config(hf: Any) -> Any:
    """The config of a model's language part, which is the whole of it in most."""
    return hf.config.get_text_config() if hasattr(hf.config, "get_text_config") else hf.config


@dataclass(frozen=True)
class LayerParts:
    """Dotted paths of one layer's parts, from the model's root; None where the layer has no such part.

    Attributes:
        path: the layer.
        attention: the module that computes attention.
        out_proj: its output projection; z is what enters it.
        gated: what attention gave is multiplied by a gate before the projection, so pattern @ v is not z.
        attn_writer: the module whose output, times `attn_scale`, is what attention (or what stands in its place in
            a layer without attention) adds to the stream.
        attn_more: it adds more than its heads and their bias (a hook, an adapter).
        attn_post_norm: that module when it is a norm between the attention and the stream.
        mlp: the MLP.
        mlp_writer: the module whose output, times `mlp_scale`, is what the MLP adds.
        attn_scale, mlp_scale: a family's factor on what is added (1 in most).
        activation: the MLP's activation; mlp_pre is what enters it.
        down: the MLP's last projection; mlp_post is what enters it.
        parallel: attention and MLP read the same input, so there is no resid_mid.
        norms: in post-norm blocks the norms that the stream passes, one after each addition.
        mid_readers: the modules that read the stream between attention and MLP, where they run in sequence.
        open: what the MLP adds is no module's output: it is the layer's output minus the stream after attention.
        reasons: {site: why this layer does not have it}.
        by_nature: the sites among `reasons` that no reading of such a layer could give.
    """

    path: str
    attention: str | None = None
    out_proj: str | None = None
    gated: bool = False
    attn_writer: str | None = None
    attn_post_norm: str | None = None
    attn_more: bool = False
    mlp: str | None = None
    mlp_writer: str | None = None
    attn_scale: float = 1.0
    mlp_scale: float = 1.0
    activation: str | None = None
    down: str | None = None
    parallel: bool = False
    norms: tuple[str, str] | None = None
    mid_readers: tuple[str, ...] = ()
    open: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    by_nature: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Architecture:
    """What was found where, and what of it holds.

    Attributes:
        family: the model's class name.
        layers: parts of each layer.
        embed: the module that gives the token embedding, times `embed_scale`, before position embeddings.
        final_norm: the norm between the last layer and the unembedding, or None.
        unembed: the unembedding.
        n_heads, n_kv_heads, d_model, d_head, d_head_v, d_vocab: shape of the model.
        kernel: attention implementation that the user's model runs.
        softcap: cap of the logits' ``cap * tanh(x / cap)``, or None.
        logit_scale: factor on the logits before the cap.
        by_nature: global sites that such a model cannot have.
        odd_logits: why the logits cannot be told from the last norm's output, or None when they can.
        padding: why prompts of different length cannot share a batch, or None when they can.
        sites: site kinds this model offers on at least one layer.
        missing: {site: reason} for kinds it offers nowhere.
        missing_at: {(site, layer): reason} for single layers.
        proof: {what was tested: largest relative error}.
    """

    family: str
    layers: tuple[LayerParts, ...]
    embed: str
    final_norm: str | None
    unembed: str
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_head_v: int
    d_vocab: int
    kernel: str
    softcap: float | None = None
    logit_scale: float = 1.0
    odd_logits: str | None = None
    embed_scale: float = 1.0
    padding: str | None = None
    sites: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    missing_at: dict[tuple[str, int], str] = field(default_factory=dict)
    proof: dict[str, float] = field(default_factory=dict)
    by_nature: frozenset[str] = frozenset()

    @property
    def n_layers(self) -> int:
        """How many layers were found."""
        return len(self.layers)

    def structural(self, site: str, layer: int) -> bool:
        """A layer lacks a site by nature (parallel blocks have no resid_mid), not because it was not found.

        Example:
            >>> import mi_widgets as mi
            >>> mi.load().architecture.structural("resid_mid", 0)
            False
        """
        return site in (self.by_nature if site in GLOBAL_SITES else self.layers[layer].by_nature)

    @property
    def unproven(self) -> dict[tuple[str, int], str]:
        """{(site, layer): reason} of what such a layer should have and what was not found or did not hold."""
        wide = {(site, i): why for site, why in self.missing.items() for i in self._layers_of(site)}
        return {
            (site, layer): why
            for (site, layer), why in (wide | self.missing_at).items()
            if not self.structural(site, layer)
        }

    @property
    def lacking(self) -> dict[str, str]:
        """What is not offered and why, in words: {"z, result in layers 0, 2": "this layer has no attention: ..."}."""
        layers: dict[tuple[str, str], list[int]] = {}
        for (site, layer), why in self.missing_at.items():
            layers.setdefault((site, why), []).append(layer)
        sites: dict[tuple[str, str], list[str]] = {}
        for site, why in self.missing.items():
            sites.setdefault(("", why), []).append(site)
        for (site, why), at in layers.items():
            where = f" in layer{'s' * (len(at) > 1)} {', '.join(map(str, at))}"
            sites.setdefault((where, why), []).append(site)
        return {f"{', '.join(names)}{where}": why for (where, why), names in sites.items()}

    def _layers_of(self, site: str) -> range:
        return range(1 if site in GLOBAL_SITES else self.n_layers)

    def __str__(self) -> str:
        rows = [f"{self.family}: {self.n_layers} layers, {self.n_heads} heads, d_model {self.d_model}"]
        for first, last, layer in self._alike():
            which = f"layer {first}" if first == last else f"layers {first}-{last}"
            mixes = f"{layer.attention} -> {layer.out_proj}" if layer.attention else "none"
            rows += [
                f"  {which:<10} {layer.path}",
                f"    attention {mixes}, adds {_times(layer.attn_scale, layer.attn_writer)}",
                f"    mlp       {layer.mlp}, adds "
                + ("all that follows attention" if layer.open else _times(layer.mlp_scale, layer.mlp_writer))
                + (" (parallel)" if layer.parallel else ""),
            ]
        rows += [
            f"  embed      {_times(self.embed_scale, self.embed)}, final_norm {self.final_norm}, "
            f"unembed {self.unembed}, kernel {self.kernel}",
            f"  sites      {', '.join(self.sites)}",
        ]
        rows += [f"  missing    {what}: {why}" for what, why in self.lacking.items()]
        if self.padding is not None:
            rows.append(f"  one length prompts of one batch must be of one length: {self.padding}")
        rows += [f"  proven     {name}: {error:.1e}" for name, error in self.proof.items()]
        return "\n".join(rows)

    def _alike(self) -> list[tuple[int, int, LayerParts]]:
        """Runs of layers that are made alike: first, last, and the parts of the first."""
        runs: list[tuple[int, int, LayerParts]] = []
        shape = None
        for index, layer in enumerate(self.layers):
            now = {
                name: value.replace(layer.path, "*") if isinstance(value, str) else value
                for name, value in vars(layer).items()
            }
            if runs and now == shape:
                runs[-1] = (runs[-1][0], index, runs[-1][2])
            else:
                runs.append((index, index, layer))
            shape = now
        return runs


def _times(scale: float, path: str | None) -> str:
    return str(path) if scale == 1.0 else f"{scale:g} x {path}"
