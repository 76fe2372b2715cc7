"""What a learned codec of one's own is made from: derive from `NetworkCodec`, return `Networks` for a `Shape`."""

from harness.models._codec import NetworkCodec
from harness.shape import Networks, Shape

__all__ = ["NetworkCodec", "Networks", "Shape"]
