"""The masking of RFC 6455, 5.3: the C function of `websockets`, its Python one where that was not built."""

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

__all__ = ["apply_mask"]
