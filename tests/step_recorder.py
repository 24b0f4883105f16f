"""A stand-in for a CUDA graph: what it recorded it runs anew, reading what a graph would read."""

from torch import Tensor


class StepRecorder:
    """Records a step as CUDA would: rates must be tensors by then, and outputs stay where they are.

    With ``broken`` the record forgets to step, as a graph does that was made of the wrong addresses.
    """

    def __init__(self, optimizer=None, broken=False):
        self.optimizer, self.broken, self.replayed, self.warmed = optimizer, broken, 0, 0

    def warm_up(self, step, times):
        for _ in range(times):
            step()
        self.warmed += times

    def record(self, step):
        groups = self.optimizer.param_groups if self.optimizer is not None else []
        rates = [group["lr"] for group in groups]
        assert all(isinstance(rate, Tensor) for rate in rates), "a rate would be recorded as a constant"
        outputs = step()

        def replay():
            self.replayed += 1
            if self.broken:
                return
            held = [group["lr"] for group in groups]
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
            new = step()
            for group, rate in zip(groups, held, strict=True):
                group["lr"] = rate
            outputs.loss.copy_(new.loss)
            for target, level in zip(outputs.pyramid, new.pyramid, strict=True):
                target.copy_(level)

        return replay, outputs
