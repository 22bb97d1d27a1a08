import torch

from training.muon import Muon, half_orthogonal


class TestHalfOrthogonal:
    def test_brings_singular_values_together(self) -> None:
        matrices = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(1))
        values = torch.linalg.svdvals(half_orthogonal(matrices))
        assert bool((values > 0.5).all())
        assert bool((values < 1.3).all())

    def test_tall_matrices_are_wide_ones_turned(self) -> None:
        matrices = torch.randn(1, 30, 12, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(half_orthogonal(matrices).mT, half_orthogonal(matrices.mT))


class TestMuon:
    def test_equals_torch_up_to_its_half_precision(self) -> None:
        generator = torch.Generator().manual_seed(2)
        start = torch.randn(32, 48, generator=generator)
        ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
        muon = Muon([ours], lr=1e-2, weight_decay=0.02)
        reference = torch.optim.Muon(
            [theirs], lr=1e-2, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"
        )
        for _ in range(3):
            gradient = torch.randn(32, 48, generator=generator)
            ours.grad, theirs.grad = gradient.clone(), gradient.clone()
            muon.step()
            reference.step()
        moved = (theirs - start).detach().abs().max()
        assert float((ours - theirs).detach().abs().max() / moved) < 0.06

    def test_leaves_what_has_no_gradient(self) -> None:
        parameter = torch.nn.Parameter(torch.ones(3, 3))
        Muon([parameter], lr=1.0, weight_decay=0.5).step()
        assert bool((parameter == 1).all())
