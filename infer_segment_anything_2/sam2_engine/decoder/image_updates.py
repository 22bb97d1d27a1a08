"""What the tokens write into the picture, kept as a low-rank change of a shared tensor.

Meta's two-way transformer lets the tokens of each prompt rewrite the whole picture twice: for
every prompt it makes, projects and normalises tensors of N positions x C channels (4,096 x 256 in
the official networks). But all prompts start from the same picture, and a prompt has very few
tokens. This module never makes the rewritten picture. It keeps, per prompt,

    X_l(n) = a_l(n) E_l(n) + sum_i Z_i(n) W_i + c_l                                            (1)

    n       position in the picture, 0 ... N-1 (rows first)
    E_l     N x C, the picture after the centring and the gains of l norms: shared by all prompts
    a_l     N, one factor per position, from the norms; a_0 = 1
    Z_i     N x r_i, the attention weights with which block i looked at the tokens, r_i = tokens x
            heads (64 for one point), times the factors of the later norms
    W_i     r_i x C, what the tokens had to say, per token and head
    c_l     C, the bias of the last norm; c_0 = 0

Each step of a block keeps the form (1), and costs a few r x r products per position instead of
C x C ones:

Attention reads X only through x . m (m: a folded query of the token, W_k^T q) and through
sum_n p(n) X(n). By (1)

    X(n) . m = a(n) (E W_k^T)(n) . q + Z(n) (W m) + const
    sum_n p X W_v^T = sum_n (p a)(n) (E W_v^T)(n) + (sum_n p Z) W W_v^T + const

where E W_k^T and E W_v^T are made once per picture, and W m is a tiny matrix. The position code
P, added to X for matching, is a constant of the model: P W_k^T is made once per model.

The picture's answer is B U + b_o, with softmaxed weights B (N x r) and U = per head the token's
value through W_o. As the weights of a head sum to one, any constant vector may be put into U: b_o
and c_l are spread over the heads there. So (1) gains the block (B, U), and no constant.

Layer norm subtracts the mean over channels: of E_l and of the rows of W. What is left are the
sums of squares, which follow from Gram matrices: with all blocks stacked to Y, W

    |X(n)|^2 = a^2 |E|^2 + 2 a Y (W E) + Y (W W^T) Y^T

(E, W centred). |E|^2 is shared; W E is, per head, the token's value times (E W_o), made once per
picture. With s(n) the inverse deviation and g the gain: a <- s a, Z <- s Z, W <- g W, E <- g E,
c <- the norm's bias.

A mask prompt adds its dense embedding D to E_0. D comes out of a 1 x 1 convolution of 16
channels: it lies in a space of 16 dimensions (17 with its offset to "no mask"), and is just one
more block, with an orthonormal basis of that space as W and the coordinates of D as Z.

Letters in names: b prompts, t tokens, h heads, d channels of a head, e = d + 1, r rows of a block,
n positions, c channels. Rows of a block made by tokens are ordered token first, then head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision of a norm's statistics: never a half one."""
    return torch.promote_types(dtype, torch.float32)


@dataclass(frozen=True, slots=True)
class Block:
    """One summand Z W of the equation (1) above, for a chunk of prompts.

    Attributes:
        coefficients_brn: Z, transposed.
        basis_brc: W; of size 1 along b when all prompts share it.
        values_bthe: The tokens' values that W was made of, followed by a one; None for the block
            of a mask prompt.
    """

    coefficients_brn: Tensor
    basis_brc: Tensor
    values_bthe: Tensor | None


@dataclass(frozen=True, slots=True)
class ImageState:
    """The picture as each prompt of a chunk has rewritten it: equation (1) without E and c.

    Attributes:
        scale_b1n: a, at least float32; of size 1 along b and n before the first norm.
        blocks: The summands, oldest first.
    """

    scale_b1n: Tensor
    blocks: tuple[Block, ...]

    def select(self, prompts: list[int]) -> ImageState:
        """The state of some prompts; of a single one without a copy."""
        chosen = slice(prompts[0], prompts[0] + 1) if len(prompts) == 1 else prompts
        blocks = tuple(
            Block(
                block.coefficients_brn[chosen],
                block.basis_brc if len(block.basis_brc) == 1 else block.basis_brc[chosen],
                None if block.values_bthe is None else block.values_bthe[chosen],
            )
            for block in self.blocks
        )
        return ImageState(self.scale_b1n[chosen], blocks)

    def gather(self, prompts_p: Tensor) -> ImageState:
        """The state of prompts whose numbers are on the device; without the tokens' values."""
        blocks = tuple(
            Block(
                block.coefficients_brn.index_select(0, prompts_p),
                block.basis_brc
                if len(block.basis_brc) == 1
                else block.basis_brc.index_select(0, prompts_p),
                None,
            )
            for block in self.blocks
        )
        return ImageState(self.scale_b1n.index_select(0, prompts_p), blocks)


@dataclass(frozen=True, slots=True)
class ReadingWeights:
    """How a cross attention reads the picture, with the weights that do not depend on it.

    Attributes:
        match_hdc: The projection whose product with the tokens' vectors gives the scores: of the
            keys where tokens look at the picture, of the queries where the picture looks at tokens.
        match_positions_hdn: The same projection of the position code and of c, with its bias.
        value_hdc: The projection of the values; unused where the picture looks at the tokens.
        value_offset_hd: The same projection of c, with its bias.
    """

    match_hdc: Tensor
    match_positions_hdn: Tensor
    value_hdc: Tensor
    value_offset_hd: Tensor

    def prepare(self, image_cn: Tensor, level: int) -> SharedReading:
        """Project the shared tensor E of a level."""
        match_hdn = _heads_of_image(self.match_hdc, image_cn)
        value_hdn = _heads_of_image(self.value_hdc, image_cn)
        if level == 0:
            return SharedReading(match_hdn + self.match_positions_hdn, None, value_hdn)
        return SharedReading(self.match_positions_hdn, match_hdn, value_hdn)


@dataclass(frozen=True, slots=True)
class SharedReading:
    """What a cross attention reads of one picture, shared by all its prompts.

    Attributes:
        fixed_hdn: The part of the matching projection that is not scaled by a.
        scaled_hdn: The part that is; None before the first norm, where all is in `fixed_hdn`.
        value_hdn: The projection of E for the values.
    """

    fixed_hdn: Tensor
    scaled_hdn: Tensor | None
    value_hdn: Tensor


@dataclass(frozen=True, slots=True)
class WritingWeights:
    """What the tokens' answers and the norm after them do, with no picture and no prompt yet.

    Attributes:
        writings_hec: Per block made by tokens up to this one, the matrix from a token's value
            (and a one) to channels, as it stands before this norm, centred.
        mask_basis_rc: The same of the mask prompts' basis.
        gain_c: The norm's gain.
        epsilon: The norm's epsilon.
    """

    writings_hec: tuple[Tensor, ...]
    mask_basis_rc: Tensor
    gain_c: Tensor
    epsilon: float

    def prepare(self, centred_cn: Tensor) -> SharedNorm:
        """Prepares the norm of a picture, given its centred E."""
        mean_square_n = centred_cn.to(statistics_dtype(centred_cn.dtype)).square().mean(0)
        centred_cn = centred_cn / len(centred_cn)
        return SharedNorm(
            mean_square_n,
            tuple(_heads_of_image(writing_hec, centred_cn) for writing_hec in self.writings_hec),
            self.mask_basis_rc @ centred_cn,
        )


@dataclass(frozen=True, slots=True)
class SharedNorm:
    """What a norm needs of one picture, shared by all its prompts.

    Attributes:
        mean_square_n: |E|^2 / C of the centred E.
        crossings_hen: Per block made by tokens, the products of the centred E with its writing
            matrix, divided by C.
        mask_crossing_rn: The same of the mask prompts' basis.
    """

    mean_square_n: Tensor
    crossings_hen: tuple[Tensor, ...]
    mask_crossing_rn: Tensor


def match_scores(
    state: ImageState, weights: ReadingWeights, shared: SharedReading, vectors_bthd: Tensor
) -> Tensor:
    """The products of the tokens' vectors with the picture's projection, b x t x h x n."""
    scores_bthn = _each_head_times_image(vectors_bthd, shared.fixed_hdn)
    if shared.scaled_hdn is not None:
        scaled_bthn = _each_head_times_image(vectors_bthd, shared.scaled_hdn)
        scale_b1n = state.scale_b1n.to(scores_bthn.dtype)
        scores_bthn.flatten(1, 2).addcmul_(scaled_bthn.flatten(1, 2), scale_b1n)
    if state.blocks:
        folded_brc = torch.einsum("bthd,hdc->bthc", vectors_bthd, weights.match_hdc).flatten(1, 2)
        for block in state.blocks:
            mixing_brr = folded_brc @ block.basis_brc.mT
            scores_bthn.flatten(1, 2).baddbmm_(mixing_brr, block.coefficients_brn)
    return scores_bthn


def gather_values(
    state: ImageState, weights: ReadingWeights, shared: SharedReading, attention_bthn: Tensor
) -> Tensor:
    """The sums of the picture's values under attention weights that sum to one, b x t x (h d)."""
    attention_brn = attention_bthn.flatten(1, 2)
    tokens_heads = attention_bthn.shape[1:3]
    gathered_brc = [
        (attention_brn @ block.coefficients_brn.mT) @ block.basis_brc for block in state.blocks
    ]
    if shared.scaled_hdn is not None:
        scale_b1n = state.scale_b1n.to(attention_brn.dtype)
        attention_bthn = (attention_brn * scale_b1n).unflatten(1, tokens_heads)
    values_bthd = _image_under_each_head(attention_bthn, shared.value_hdn) + weights.value_offset_hd
    if gathered_brc:
        gathered_bthc = torch.stack(gathered_brc).sum(0).unflatten(1, tokens_heads)
        values_bthd += torch.einsum("bthc,hdc->bthd", gathered_bthc, weights.value_hdc)
    return values_bthd.flatten(2)


def write_and_norm(
    state: ImageState,
    attention_bthn: Tensor,
    values_bthd: Tensor,
    weights: WritingWeights,
    shared: SharedNorm,
) -> ImageState:
    """Lets the tokens rewrite the picture, and apply the layer norm that follows.

    Args:
        state: The picture before. Its coefficients are overwritten.
        attention_bthn: Each position's weights over the tokens; for every head they sum to one
            over t. Overwritten.
        values_bthd: The tokens' values.
        weights: The fixed part.
        shared: The picture's part.
    """
    values_bthe = F.pad(values_bthd, (0, 1), value=1.0)
    wrote_brc = torch.einsum("bthe,hec->bthc", values_bthe, weights.writings_hec[-1])
    new = Block(attention_bthn.flatten(1, 2), wrote_brc.flatten(1, 2), values_bthe)
    blocks = (*(_centred(block) for block in state.blocks), new)
    variance_b1n = _mean_square(state.scale_b1n, blocks, shared)
    inverse_b1n = variance_b1n.clamp_(min=0).add_(weights.epsilon).rsqrt_()
    inverse_rounded_b1n = inverse_b1n.to(attention_bthn.dtype)
    for block in blocks:
        block.coefficients_brn.mul_(inverse_rounded_b1n)
    return ImageState(
        state.scale_b1n * inverse_b1n,
        tuple(replace(block, basis_brc=block.basis_brc * weights.gain_c) for block in blocks),
    )


def _centred(block: Block) -> Block:
    return replace(block, basis_brc=block.basis_brc - block.basis_brc.mean(-1, keepdim=True))


def _mean_square(scale_b1n: Tensor, blocks: tuple[Block, ...], shared: SharedNorm) -> Tensor:
    """|X|^2 / C per position, b x 1 x n, for centred bases.

    Every pair of different blocks occurs twice in the quadratic form, and is computed once.
    """
    prompts = len(blocks[-1].coefficients_brn)
    total_b1n = scale_b1n.square() * shared.mean_square_n.expand(prompts, 1, -1)
    scale_rounded_b1n = scale_b1n.to(blocks[-1].coefficients_brn.dtype)
    crossings_hen = iter(shared.crossings_hen)
    for i, block in enumerate(blocks):
        if block.values_bthe is None:
            terms_brn = (2 * shared.mask_crossing_rn).repeat(prompts, 1, 1)
        else:
            crossing_hen = next(crossings_hen)
            terms_brn = _each_head_times_image(2 * block.values_bthe, crossing_hen).flatten(1, 2)
        terms_brn.mul_(scale_rounded_b1n)
        for j, other in enumerate(blocks[: i + 1]):
            times = (1 if i == j else 2) / block.basis_brc.shape[-1]
            gram_brr = (block.basis_brc * times) @ other.basis_brc.mT
            terms_brn.baddbmm_(gram_brr.expand(prompts, -1, -1), other.coefficients_brn)
        terms_brn.mul_(block.coefficients_brn)
        total_b1n += terms_brn.sum(1, keepdim=True, dtype=total_b1n.dtype)
    return total_b1n


def _heads_of_image(weight_hdc: Tensor, image_cn: Tensor) -> Tensor:
    """A projection of the image to all heads: one product, not one small one per head."""
    return (weight_hdc.flatten(0, 1) @ image_cn).view(*weight_hdc.shape[:2], -1)


def _each_head_times_image(vectors_bthd: Tensor, image_hdn: Tensor) -> Tensor:
    """Per head, the tokens' vectors times the image, b x t x h x n.

    Batched over heads, with the rows of all prompts in one matrix: batched over prompts too, it
    would be made of matrices of a few rows, at a fifth of the speed.
    """
    out_bthn = image_hdn.new_empty(*vectors_bthd.shape[:3], image_hdn.shape[-1])
    torch.bmm(_head_first(vectors_bthd), image_hdn, out=_head_first(out_bthn))
    return out_bthn


def _image_under_each_head(attention_bthn: Tensor, image_hdn: Tensor) -> Tensor:
    """Per head, the image summed under the tokens' weights, b x t x h x d."""
    out_bthd = image_hdn.new_empty(*attention_bthn.shape[:3], image_hdn.shape[1])
    torch.bmm(_head_first(attention_bthn), image_hdn.mT, out=_head_first(out_bthd))
    return out_bthd


def _head_first(values_bthx: Tensor) -> Tensor:
    """A view of h x (b t) x ...: BLAS reads and writes it as it lies, without a copy."""
    return values_bthx.flatten(0, 1).transpose(0, 1)
