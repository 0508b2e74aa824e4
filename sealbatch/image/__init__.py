"""Enclave images: what they hold and what they are measured as."""


class ImageError(Exception):
    """An image cannot be read or made; the text names what is wrong with which part."""
