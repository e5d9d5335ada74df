"""One frame of play as one module: K denoising passes and the commit pass, with all that is constant worked out ahead.

It computes what `worldsim.model.engine.sampler.draw` and `commit` compute with the transformer itself, to rounding.
What is saved is what they do again at every pass: conditions that depend on the step only are a table, those that
depend on the frame only are made once, remembered keys are ordered and turned once, norm weights, places and the scale
of attention are folded into one table of the rotary turn, and the last layer works on those tokens only that are read.

Nothing in `forward` depends on the values of tensors, so that it can be compiled and exported as it is.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.model.dit.attention import Norm
from worldsim.model.dit.condition import fourier
from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.layer import Layer
from worldsim.model.dit.network import DiT
from worldsim.model.dit.rotary import angles, rotate, space_turn, split
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.flow import levels

#: Which tokens of the last layer are read: see `FrameNet._pass`.
PATCHES, REGISTERS, ALL = "patches", "registers", "all"


class FrameArguments(NamedTuple):
    """What `FrameNet` reads; B worlds, S slots of the ring, T time layers.

    Attributes:
        noise: (B, N, P) standard normal.
        previous: (B, N, P).
        has_previous: (B,) float, 0 or 1.
        actions: (B, A).
        has_action: (B,) float.
        text: (B, R, D), zeros for no prompt.
        backward: (B,) float.
        ages: (B, S) float, time of a slot less the frame's own, 0 for an empty one.
        seen: (B, S) float, 1 where the slot may be looked at.
        order: (S,) int64, slots from oldest to newest; `ages` and `seen` are in this order.
        cache: Keys, then values: 2 T tensors (B, S, M, kv heads, head) in the ring's own order.
    """

    noise: Tensor
    previous: Tensor
    has_previous: Tensor
    actions: Tensor
    has_action: Tensor
    text: Tensor
    backward: Tensor
    ages: Tensor
    seen: Tensor
    order: Tensor
    cache: tuple[Tensor, ...]


class FrameResult(NamedTuple):
    """What it gives.

    Attributes:
        clean: (B, N, P).
        instability: (B,).
        told: (B, 2): reward in symlog scale, logit of the end.
        commits: Keys, then values of the frame: 2 T tensors (B, M, kv heads, head).
    """

    clean: Tensor
    instability: Tensor
    told: Tensor
    commits: tuple[Tensor, ...]


class Known(NamedTuple):
    """What all passes of one frame share."""

    before: Tensor  # (B, N, D): the part of the embedding that the previous latent, the action and the biases give
    registers: Tensor  # (B, R, D)
    modulation: Tensor  # (K + 1, B, depth, 6, D), 1 added to scales and gates
    final: Tensor  # (K + 1, B, 2, D), as it multiplies and adds after the last norm
    keys: tuple[Tensor, ...]  # (B, kv heads, S * M, head)
    values: tuple[Tensor, ...]
    mask: Tensor  # (B, 1, 1, S * M + M)


class LayerNet(nn.Module):
    """The weights of a `Layer`, with norms, places and scale in two tables."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, layer: Layer, config: DiTConfig, turn: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        a = layer.attention
        self.qkv, self.out, self.up, self.down = map(shared, (a.qkv, a.out, layer.up, layer.down))
        self.index, self.time = layer.index, layer.time
        cos, sin = (x[0, 0] for x in turn)  # (M, 1, head / 2)
        weights = []
        for norm, heads, scale in ((a.q_norm, a.heads, a.head**-0.5), (a.k_norm, a.kv, 1.0)):
            assert isinstance(norm, Norm) and norm.weight is not None
            weights.append((norm.weight.detach() * scale).expand(heads, -1))
        w = torch.cat(weights)  # (heads + kv heads, head)
        self.register_buffer("cosine", (torch.cat([cos, cos], -1) * w).contiguous(), persistent=False)
        self.register_buffer("sine", (torch.cat([-sin, sin], -1) * _swap(w)).contiguous(), persistent=False)


class FrameNet(nn.Module):
    """See the module. For transformers with full time attention and at least one register."""

    steps: Tensor
    noise: Tensor
    flags: Tensor
    biases: Tensor
    gain: Tensor
    registers: Tensor

    def __init__(self, dit: DiT, sampler: SamplerConfig, places: Tensor) -> None:
        """Works out what is constant.

        Args:
            dit: The transformer; its weights are shared, not copied.
            sampler: Steps and noise of the context. Guidance is not part of it: see `fits`.
            places: (1, N, 2) of `worldsim.model.dit.patches.grid`.
        """
        super().__init__()
        config = self.config = dit.config
        self.k, self.tokens = sampler.steps, config.registers + places.shape[1]
        d, p = config.width, config.token
        turn = space_turn(places, config.registers, config.head)
        self.layers = nn.ModuleList(LayerNet(cast(Layer, layer), config, turn) for layer in dit.layers)
        weight = dit.embed.weight.detach()
        self.embed = linear(weight[:, :p], None)
        self.embed_before = linear(weight[:, p:], dit.embed.bias) if config.previous else None
        self.bias = nn.Parameter(dit.embed.bias.detach(), requires_grad=False)
        self.action = nn.Sequential(*(shared(m) if isinstance(m, nn.Linear) else m for m in dit.action))
        self.modulate = linear(
            torch.cat([dit.modulate.weight, dit.final_modulate.weight]),
            torch.cat([dit.modulate.bias, dit.final_modulate.bias]),
        )
        self.final = linear(torch.cat([dit.final.weight, dit.keep.weight]), torch.cat([dit.final.bias, dit.keep.bias]))
        self.heads = shared(dit.heads)
        with torch.no_grad():
            noise, k, level = sampler.context_noise, sampler.steps, levels(sampler.steps)
            signals = torch.tensor([*(i / k for i in range(k)), 1 - noise], device=weight.device)
            told = torch.tensor([*(level for _ in range(k)), 3], device=weight.device)
            steps = dit.signal(fourier(signals)) + dit.level(told)
            biases = torch.stack([layer.bias for layer in dit.layers])  # type: ignore[misc]
            biases = biases + torch.tensor([1.0, 0, 1, 1, 0, 1], device=weight.device)[:, None]
            tables = {
                "steps": steps[:, None],  # (K + 1, 1, D)
                "noise": dit.previous_noise(fourier(torch.tensor(noise, device=weight.device))),
                "flags": dit.flags,
                "biases": biases,
                "gain": dit.final_norm.weight,
                "registers": dit.registers,
            }
        assert self.modulate.out_features == 8 * d
        for name, table in tables.items():
            self.register_buffer(name, table.detach().clone(), persistent=False)

    def forward(self, a: FrameArguments) -> FrameResult:
        """Draws one frame of every world and says what it leaves in the cache."""
        known = self._known(a)
        z = clean = first = a.noise.to(self.biases.dtype)
        previous = a.previous.to(z.dtype)
        for i in range(self.k):
            clean = self._clean(self._pass(z, known, i, PATCHES)[0], z, previous)
            first = clean if i == 0 else first
            if i < self.k - 1:
                z = self._towards(z, clean, i)
        x, keys, values = self._pass(clean, known, self.k, REGISTERS)
        return self._result(a.noise.dtype, clean, first, self.heads(x.mean(dim=1)), (*keys, *values))

    def _towards(self, z: Tensor, clean: Tensor, i: int) -> Tensor:
        """The noisy latent after step i."""
        part = 1 / (self.k - i)
        return torch.lerp(z, clean, part) if z.dtype == torch.float32 else z + (clean - z) * part

    def _result(
        self, dtype: torch.dtype, clean: Tensor, first: Tensor, told: Tensor, commits: tuple[Tensor, ...]
    ) -> FrameResult:
        change = (clean - first).to(dtype).square().mean(dim=(1, 2)).sqrt()
        return FrameResult(clean.to(dtype), change, told.to(dtype), commits)

    def _vector(
        self, actions: Tensor, has_action: Tensor, has_previous: Tensor, text: Tensor, backward: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What modulates a frame (B, D), less the step's part; and what its action adds to its tokens (B, D)."""
        had, acted = has_previous[:, None], has_action[:, None]
        to_vector, to_tokens = (self.action(actions) * acted).chunk(2, dim=-1)
        vector = to_vector + self.noise * had + (1 - had) * self.flags[0] + (1 - acted) * self.flags[1]
        return vector + backward[:, None] * self.flags[2] + text.mean(dim=1), to_tokens

    def _modulation(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(K + 1, B, D) -> `Known.modulation` and `Known.final`."""
        m = self.modulate(F.silu(self.steps + vectors)).unflatten(-1, (8, self.config.width))  # (K + 1, B, 8, D)
        scale, shift = m[:, :, 6:7], m[:, :, 7:]
        return m[:, :, None, :6] + self.biases, torch.cat([(1 + scale) * self.gain, shift], dim=2)

    def _past(self, ages: Tensor, order: Tensor, cache: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Remembered keys, turned, and values: each (B, kv heads, S * M, head), oldest first."""
        turn = angles(ages, split(self.config.head)[0], 64.0)[:, :, None, None]
        cos, sin = turn.cos(), turn.sin()
        t = len(cache) // 2
        past = [x.index_select(1, order).to(self.biases.dtype) for x in cache]
        return [rows(rotate(x, cos, sin)) for x in past[:t]], [rows(x) for x in past[t:]]

    def _seen(self, seen: Tensor) -> Tensor:
        """(B, S) frames -> (B, S * M) tokens."""
        return seen[:, :, None].expand(-1, -1, self.tokens).reshape(len(seen), -1)

    def _known(self, a: FrameArguments) -> Known:
        dtype = self.biases.dtype
        text = a.text.to(dtype)
        actions, acted, had, back = (x.to(dtype) for x in (a.actions, a.has_action, a.has_previous, a.backward))
        vector, to_tokens = self._vector(actions, acted, had, text, back)
        modulation, final = self._modulation(vector)
        before = self.bias if self.embed_before is None else self.embed_before(a.previous.to(dtype))
        keys, values = self._past(a.ages, a.order, a.cache)
        seen = torch.cat([self._seen(a.seen), a.seen.new_ones(len(a.seen), self.tokens)], dim=1)
        return Known(
            before=before + to_tokens[:, None],
            registers=self.registers + text,
            modulation=modulation,
            final=final,
            keys=tuple(keys),
            values=tuple(values),
            mask=hidden(seen)[:, None, None].to(dtype),
        )

    def _pass(self, z: Tensor, known: Known, i: int, read: str) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Pass i of K + 1: tokens of the last layer, normed, and the frame's own keys and values.

        `read` says which tokens: the last layer works on no others.
        """
        config = self.config
        wanted = {PATCHES: slice(config.registers, None), REGISTERS: slice(0, config.registers), ALL: slice(None)}[read]
        x = torch.cat([known.registers, self.embed(z) + known.before], dim=1)  # (B, M, D)
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for j, layer in enumerate(self.layers):
            assert isinstance(layer, LayerNet)
            part = slice(None) if j < config.depth - 1 else wanted
            scale, shift, gate, scale2, shift2, gate2 = known.modulation[i, :, j].unsqueeze(2).unbind(dim=1)
            q, k, v = self._project(layer, torch.addcmul(shift, norm(x), scale))
            if layer.time:
                keys.append(k)
                values.append(v)
            if part != slice(None):
                q, x = q[:, part], x[:, part]
            k, v, mask = k.transpose(1, 2), v.transpose(1, 2), None
            if layer.time:
                t = config.time_layers.index(layer.index)
                k, v, mask = torch.cat([known.keys[t], k], 2), torch.cat([known.values[t], v], 2), known.mask
            x = torch.addcmul(x, gate, layer.out(grouped_attention(q, k, v, mask)))
            up, by = layer.up(torch.addcmul(shift2, norm(x), scale2)).chunk(2, dim=-1)
            x = torch.addcmul(x, gate2, layer.down(F.silu(up) * by))
        gain, shift = known.final[i].unsqueeze(2).unbind(dim=1)
        return torch.addcmul(shift, norm(x), gain), keys, values

    def _clean(self, patches: Tensor, z: Tensor, previous: Tensor) -> Tensor:
        """The prediction of (B, N, D) tokens."""
        out: Tensor = self.final(patches)
        p = self.config.token
        return out[..., :p] + out[..., p : p + 1] * z + out[..., p + 1 :] * previous

    def _project(self, layer: LayerNet, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, M, D) -> q (B, M, heads, head), k and v (B, M, kv heads, head), normed and turned."""
        config = self.config
        qkv = layer.qkv(x).unflatten(-1, (-1, config.head))
        turned = config.heads + config.kv_heads
        qk = norm(qkv[:, :, :turned])
        qk = torch.addcmul(qk * layer.cosine, _swap(qk), layer.sine)
        return qk[:, :, : config.heads], qk[:, :, config.heads :], qkv[:, :, turned:]


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax of q k + mask, times v; the heads of a group are rows of one product, so keys are not repeated.

    Args:
        q: (B, L, heads, head), scaled.
        k: (B, kv heads, S, head).
        v: The same.
        mask: (B, 1, 1, S) additive, or None.

    Returns:
        (B, L, heads * head).
    """
    b, length, heads, head = q.shape
    kv = k.shape[1]
    rows = q.view(b, length, kv, heads // kv, head).permute(0, 2, 3, 1, 4).reshape(b, kv, -1, head)
    if exporting() or q.dtype == torch.bfloat16:  # exported as plain products; see `attention.attend`
        scores = rows @ k.transpose(-2, -1)
        if mask is not None:
            scores = scores + mask
        out = scores.softmax(dim=-1) @ v  # (B, kv, groups * L, head)
    else:
        out = F.scaled_dot_product_attention(rows, k, v, attn_mask=mask, scale=1.0)
    out = out.view(b, kv, heads // kv, length, head).permute(0, 3, 1, 2, 4)
    return out.reshape(b, length, heads * head)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer of given weights (out, in)."""
    out = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    out.weight = nn.Parameter(weight.detach().contiguous(), requires_grad=False)
    if bias is not None:
        out.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return out


def shared(layer: nn.Linear) -> nn.Linear:
    """A layer of its own on the same memory: what is done to it, such as a change of dtype, leaves the other alone."""
    return linear(layer.weight, layer.bias)


def exporting() -> bool:
    """Whether this is being traced for an export."""
    return torch._C._get_tracing_state() is not None


def norm(x: Tensor) -> Tensor:
    """RMS norm of the last axis, without a weight."""
    if exporting():  # the exporter does not know the fused form; ONNX Runtime finds and fuses this one
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)
    return F.rms_norm(x, (x.shape[-1],), None, 1e-6)


def _swap(x: Tensor) -> Tensor:
    """The two halves of the last axis, exchanged."""
    if exporting():
        return torch.cat(x.chunk(2, dim=-1)[::-1], dim=-1)
    return x.roll(x.shape[-1] // 2, -1)  # two thirds of the time


def hidden(seen: Tensor) -> Tensor:
    """1 where something may be looked at and 0 where not -> what is added to the scores."""
    return (seen - 1) * 1.0e9


def rows(x: Tensor) -> Tensor:
    """(B, S, M, kv, head) -> (B, kv, S * M, head)."""
    return x.flatten(1, 2).transpose(1, 2).contiguous()
