"""The functions a script may need, as text: how a site is hooked, and how the model is run. Plain PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

RUN = '''\
def run(ids, edits=()):
    """Logits [position, vocab] of one prompt; an edit is a site and its change."""
    handles = [handle for site, change in edits for handle in sites[site](change)]
    with torch.no_grad():
        ids = torch.tensor([ids], device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits[0].float()
    for handle in handles:
        handle.remove()
    return logits
'''

RUN_INSIDE = RUN.replace("        handle.remove()\n", "        handle.remove()\n    inside.clear()\n")

PLAIN_RUN = '''\
def run(ids):
    """Logits [position, vocab] of one prompt."""
    with torch.no_grad():
        ids = torch.tensor([ids], device=model.device)
        return model(input_ids=ids, use_cache=False).logits[0].float()
'''

READ = '''\
def read(ids, names):
    """Sites of an unedited run, {site: value}."""
    values = {}

    def keep(name):
        return lambda x: values.update({name: x.clone()})

    run(ids, [(name, keep(name)) for name in names])
    return values
'''

MEAN_OVER = '''\
def mean_over(prompts, kept, names):
    """Sites of unedited runs, averaged over the kept positions of all prompts."""
    runs = [read(ids, names) for ids in prompts]
    return {
        name: torch.cat([one[name][at].float() for one, at in zip(runs, kept)]).mean(0)
        for name in names
    }
'''

MEAN_BY_POSITION = '''\
def mean_by_position(prompts, names):
    """Sites of unedited runs of equal length, averaged over the prompts."""
    runs = [read(ids, names) for ids in prompts]
    return {
        name: torch.stack([one[name].float() for one in runs]).mean(0) for name in names
    }
'''

TURNED = '''\
def turned(x, cos, sin, partner):
    """Rotary queries or keys as they would be at another position."""
    cos, sin = torch.tensor(cos).to(x), torch.tensor(sin).to(x)
    return x * cos - x[..., partner] * sin
'''

WITHIN = '''\
def within(edits, length):
    """The same edits in a longer text: they act on its first tokens, the prompt."""

    def cut(site, change):
        if site.endswith(("scores", "pattern")):
            return lambda x: change(x[:, :length, :length])
        return lambda x: change(x[:length])

    return [(site, cut(site, change)) for site, change in edits]
'''

BY_HEAD = '''\
def by_head(site, heads):
    """The same site split by head: [position, head, d_head]."""
    return lambda change: site(lambda x: change(x.unflatten(-1, (heads, -1))))
'''

LOGITS = '''\
def output(model):
    """A site: the model's logits [position, vocab]."""

    def hook(change):
        def edit(_, args, output):
            output.logits = output.logits.clone()
            change(output.logits[0])
            return output

        return [model.register_forward_hook(edit)]

    return hook
'''


@dataclass(frozen=True)
class Shape:
    """How the hooked modules of this model give and take the stream.

    Attributes:
        outputs: "tensor", "tuple", "list", those there are.
        flat: some lay all positions end to end, [position, d] without an axis of prompts.
    """

    outputs: frozenset[str]
    flat: bool = False

    @property
    def get(self) -> str:
        """The stream in what a module gives."""
        if self.outputs <= {"tensor"}:
            return "output"
        return "output[0]" if "tensor" not in self.outputs else "first(output)"

    def put(self, y: str) -> str:
        """What a module gives, with another stream."""
        if self.outputs <= {"tensor"}:
            return y
        if self.outputs == {"tuple"}:
            return f"({y}, *output[1:])"
        if self.outputs == {"list"}:
            return f"[{y}, *output[1:]]"
        return f"type(output)([{y}, *output[1:]]) if output is not first(output) else {y}"

    @property
    def one(self) -> str:
        """The one prompt's part of x."""
        return "x.flatten(0, -2)" if self.flat else "x[0]"

    def copied(self, x: str) -> str:
        """A copy of x whose parts can be written."""
        return f"{x}.clone(memory_format=torch.contiguous_format)" if self.flat else f"{x}.clone()"

    def texts(self) -> dict[str, str]:
        """The helpers that depend on it, by name."""
        some = {"before": self._before(), "before_named": self._before_named(), "after": self._after(False)}
        some |= {"after_times": self._after(True), "between": self._between(), "rest": self._rest()}
        some |= {"results": self._results()}
        if "first(" in self.get:
            some["first"] = (
                'def first(output):\n    """The stream in what a module gives."""\n'
                "    return output if isinstance(output, torch.Tensor) else output[0]\n"
            )
        return some

    def _before(self) -> str:
        return f'''\
def before(module):
    """A site: what enters a module, [position, d]."""

    def hook(change):
        def edit(_, args):
            x = {self.copied("args[0]")}
            change({self.one})
            return (x, *args[1:])

        return [module.register_forward_pre_hook(edit)]

    return hook
'''

    def _before_named(self) -> str:
        return f'''\
def before_named(module, name):
    """A site: what enters a module as a keyword, [position, d]."""

    def hook(change):
        def edit(_, args, kwargs):
            x = {self.copied("kwargs[name]")}
            change({self.one})
            return args, {{**kwargs, name: x}}

        return [module.register_forward_pre_hook(edit, with_kwargs=True)]

    return hook
'''

    def _after(self, times: bool) -> str:
        name, more = ("after_times", ", times") if times else ("after", "")
        what = "what leaves a module, times a factor" if times else "what leaves a module"
        x = f"{self.get} * times" if times else self.copied(self.get)
        return f'''\
def {name}(module{more}):
    """A site: {what}, [position, d]."""

    def hook(change):
        def edit(_, args, output):
            x = {x}
            change({self.one})
            return {self.put("x / times" if times else "x")}

        return [module.register_forward_hook(edit)]

    return hook
'''

    def _between(self) -> str:
        return f'''\
def between(layer, attention, readers, times=1.0):
    """A site that no module gives: the stream between attention and MLP, [position, d]."""

    def hook(change):
        seen = {{}}

        def enters(_, args):
            seen["before"] = args[0]

        def attends(_, args, output):
            step = times * {self.get}
            middle = seen["before"] + step.reshape(seen["before"].shape)
            x = seen["now"] = {self.copied("middle")}
            change({self.one})
            seen["moved"] = x - middle

        def reads(_, args):
            return (seen["now"].reshape(args[0].shape), *args[1:])

        def leaves(_, args, output):
            x = {self.get} + seen["moved"]
            return {self.put("x")}

        return [
            layer.register_forward_pre_hook(enters),
            attention.register_forward_hook(attends),
            *[reader.register_forward_pre_hook(reads) for reader in readers],
            layer.register_forward_hook(leaves),
        ]

    return hook
'''

    def _rest(self) -> str:
        return f'''\
def rest(layer, attention, times=1.0):
    """A site that no module gives: what a layer adds after its attention, [position, d]."""

    def hook(change):
        seen = {{}}

        def enters(_, args):
            seen["middle"] = args[0]

        def attends(_, args, output):
            step = times * {self.get}
            seen["middle"] = seen["middle"] + step.reshape(seen["middle"].shape)

        def leaves(_, args, output):
            x = {self.get} - seen["middle"]
            change({self.one})
            x = seen["middle"] + x
            return {self.put("x")}

        return [
            layer.register_forward_pre_hook(enters),
            attention.register_forward_hook(attends),
            layer.register_forward_hook(leaves),
        ]

    return hook
'''

    def _results(self) -> str:
        return f'''\
def results(projection, heads):
    """A site: what each head adds, z[head] @ W_O[head], [position, head, d_model]."""

    def hook(change):
        def edit(_, args, output):
            z = args[0].unflatten(-1, (heads, -1))
            weight = projection.weight{{turn}}.unflatten(0, (heads, -1))
            x = torch.einsum("...hv,hvd->...hd", z, weight)
            change({"x.flatten(0, -3)" if self.flat else "x[0]"})
            return x.sum(-2){{bias}}

        return [projection.register_forward_hook(edit)]

    return hook
'''


@dataclass(frozen=True)
class Kernel:
    """The attention of a model, as far as a script writes it out.

    Attributes:
        own: module that holds the kernel this model uses, and the kernel's name there.
        fused: it is PyTorch's, which takes a mask of booleans or none; else it takes one that is added.
        softcap, sinks, bias: what the family adds to plain attention.
        grouped: several heads share keys and values.
    """

    own: tuple[str, str]
    fused: bool
    softcap: bool = False
    sinks: str | None = None
    bias: bool = False
    grouped: bool = False

    @property
    def imports(self) -> tuple[str, ...]:
        """Lines at the top of the script."""
        if self.fused:
            return ("from transformers import AttentionInterface", f"from {self.own[0]} import {self.own[1]}")
        package, _, name = self.own[0].rpartition(".")
        return (f"from {package} import {name} as family",)

    def text(self, kinds: frozenset[str]) -> str:
        """The site and the attention function, for the kinds that are hooked."""
        lines = [_SITE.rstrip("\n"), "", "", *self._attend(kinds), "", ""]
        if self.fused:
            lines.append('AttentionInterface.register("sdpa", attend)')
        else:
            lines.append(f"kernel, family.{self.own[1]} = family.{self.own[1]}, attend")
        return "\n".join(lines) + "\n"

    def _attend(self, kinds: frozenset[str]) -> list[str]:
        square = bool(kinds & {"scores", "pattern"})
        kernel = self.own[1] if self.fused else "kernel"
        call = f"{kernel}(module, query, key, value, mask, **kwargs)"
        what = "the model's own, or written out where it is edited" if square else "the model's own kernel"
        out = [
            "def attend(module, query, key, value, mask, **kwargs):",
            f'    """Attention of every layer, {what}."""',
        ]
        for kind, name in (("q", "query"), ("k", "key"), ("v", "value")):
            if kind in kinds:
                out.append(f'    {name} = changed(module, "{kind}", {name})')
        if not square:
            return [*out, f"    return {call}"]
        out += [
            '    if not any(what in ("scores", "pattern") for what, _ in inside.get(module, [])):',
            f"        return {call}",
        ]
        if self.grouped:
            out += [
                "    groups = query.shape[1] // key.shape[1]",
                "    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))",
            ]
        out.append('    scores = query @ key.transpose(2, 3) * kwargs["scaling"]')
        if self.softcap:
            out.append('    scores = kwargs["softcap"] * torch.tanh(scores / kwargs["softcap"])')
        if self.bias:
            out.append('    scores = scores + kwargs["position_bias"]')
        if self.fused:
            out += [
                "    if mask is None:  # every position sees what is up to it",
                "        mask = torch.ones_like(scores, dtype=torch.bool).tril()",
            ]
        else:
            out.append("    mask = mask > torch.finfo(mask.dtype).min / 2")
        out.append("    scores = scores.masked_fill(~mask, -torch.inf)")
        if "scores" in kinds:
            out.append('    scores = changed(module, "scores", scores).masked_fill(~mask, -torch.inf)')
        if self.sinks is not None:
            out += [
                f'    sinks = kwargs["{self.sinks}"].reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)',
                "    pattern = torch.cat([scores, sinks], dim=-1).float().softmax(-1)[..., :-1]",
            ]
        else:
            out.append("    pattern = scores.float().softmax(-1)")
        if "pattern" in kinds:
            out.append('    pattern = changed(module, "pattern", pattern).tril()')
        out += [
            "    z = pattern.to(value.dtype) @ value",
            "    return z.transpose(1, 2).contiguous(), pattern",
        ]
        return out


_SITE = '''\
inside = {}  # attention module -> its sites and their changes, while a run lasts


def attention(what, module):
    """A site of attention: q, k, v [position, head, d]; scores, pattern [head, dest, src]."""

    def hook(change):
        inside.setdefault(module, []).append((what, change))
        return []

    return hook


def changed(module, what, x):
    """What attention computes, after the changes made to it."""
    x = x.clone()
    for name, change in inside.get(module, []):
        if name == what:
            change(x[0].transpose(0, 1) if what in "qkv" else x[0])
    return x
'''
