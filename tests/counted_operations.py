"""Counts the operations of torch that a call makes, on the meta device what a GPU would launch."""

from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """Counts what is launched on the meta device, views left out."""

    FREE = ("empty", "detach", "_unsafe_view", "lift_fresh")

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        answer = func(*args, **(kwargs or {}))
        schema = func._schema
        view = any(one.alias_info is not None and not one.alias_info.is_write for one in schema.returns)
        name = schema.name.partition("::")[2]
        if not view and not any(word in name for word in self.FREE):
            self.names.append(name)
        return answer
